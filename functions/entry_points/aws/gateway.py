"""What API Gateway sends and takes, payloads 2.0 and messages of WebSockets, as structs of the API.

An HTTP API decodes the path before a function sees it, and cuts it off at a decoded question mark: so what cannot stand
in a path is encoded again, and a slash inside a name stays part of that name where only one route can be meant.
"""

import base64
import binascii
import json
import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from functions.api.http import HttpRequest, HttpResponse
from functions.api.problems import ProblemError
from functions.events.envelope import digest

Json = Mapping[str, Any]

MOST_ANSWERED: Final = 6_291_556  # bytes of an answer as JSON, escapes included: Lambda's
_TENANT = re.compile(r"[A-Za-z0-9_-]{1,64}")
_PATH = "/%:@!$&'()*+,;=~-._"  # what stands in a path as it is, beside letters and digits
_NAMES = (
    re.compile(r"(?P<before>/conversations/)(?P<name>.+)(?P<after>/messages|/export)"),
    re.compile(r"(?P<before>/conversations/)(?P<name>.+)(?P<after>)"),
    re.compile(r"(?P<before>/collections/[^/]+/passages/)(?P<name>.+)(?P<after>)"),
)
_ARN = re.compile(r"arn:[a-z-]+:(?:iam|sts)::(?P<account>\d{12}):(?P<kind>[a-z-]+)/(?P<name>.+)")


class ForgedError(ProblemError):
    """A call that did not come through the authorizer, or says that it is somebody else's."""


# ------------------------------------------------------------------------------------------------------ HTTP


def headers_of(event: Json) -> dict[str, str]:
    """The headers by name in lower case; cookies, which come on their own, among them."""
    headers = {name.lower(): str(value) for name, value in (event.get("headers") or {}).items()}
    return headers | ({"cookie": "; ".join(event["cookies"])} if event.get("cookies") else {})


def request_of(event: Json, *, base_path: str, tenant: str, correlation: str) -> HttpRequest:
    """The request of an event with payload 2.0.

    Args:
        event: As API Gateway sends it.
        base_path: What a custom domain maps to this API, e.g. `/v1`; empty for none.
        tenant: Whose it is.
        correlation: What the caller knows it by.

    Raises:
        ProblemError: 400: its body says that it is Base64, and is not.
    """
    context = event["requestContext"]
    return HttpRequest(
        method=context["http"]["method"],
        path=path_of(event, base_path),
        query=event.get("rawQueryString", ""),
        headers=headers_of(event),
        body=body_of(event),
        tenant=tenant,
        correlation=correlation,
    )


def path_of(event: Json, base_path: str) -> str:
    """The path below stage and base path, percent-encoded."""
    path, stage = event["rawPath"], event["requestContext"].get("stage", "$default")
    for prefix in (base_path.rstrip("/"), "" if stage == "$default" else f"/{stage}"):
        if prefix and (path == prefix or path.startswith(f"{prefix}/")):
            path = path.removeprefix(prefix) or "/"
    found = next((match for pattern in _NAMES if (match := pattern.fullmatch(path))), None)
    if found is not None:
        path = f"{found['before']}{found['name'].replace('/', '%2F')}{found['after']}"
    return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", path), safe=_PATH)


def body_of(event: Json) -> bytes:
    """The bytes of a body or of a message.

    Raises:
        ProblemError: 400: it says that it is Base64, and is not.
    """
    body: str = event.get("body") or ""
    if not event.get("isBase64Encoded"):
        return body.encode("utf-8", "surrogatepass")
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ProblemError(400, "the body is not the Base64 that it is said to be") from error


def answer_of(response: HttpResponse, *, method: str = "GET") -> dict[str, Any]:
    """A response as API Gateway takes it, with payload 2.0."""
    body = b"" if method == "HEAD" else response.body
    answer: dict[str, Any] = {"statusCode": response.status, "headers": dict(response.headers)}
    try:
        return answer | {"body": body.decode(), "isBase64Encoded": False}
    except UnicodeDecodeError:
        return answer | {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def size_of(answer: Json) -> int:
    """The bytes of an answer as Lambda sends it."""
    return len(json.dumps(answer, ensure_ascii=False).encode())


# ---------------------------------------------------------------------------------------------------- tenants


def tenant_of(event: Json, claim: str) -> str:
    """Whose call it is: as the authorizer says, and nobody else.

    A caller with an API key is the tenant of that key, one with a token the tenant that its claim names, and one of IAM
    the user or the role, of whatever session.

    Raises:
        ForgedError: 401: no authorizer let it in, or what it says names no tenant.
    """
    context = event["requestContext"]
    found = context.get("authorizer") or {}
    tenant = (
        (found.get("lambda") or {}).get("tenant")
        or ((found.get("jwt") or {}).get("claims") or {}).get(claim)
        or _of_iam(found.get("iam") or {})
        or found.get("tenant")  # a WebSocket's, whose context is flat
        or _of_iam(context.get("identity") or {})
    )
    if not isinstance(tenant, str) or not _TENANT.fullmatch(tenant):
        raise ForgedError(401, "no authorizer says whose call this is: call the API through its own address")
    if (said := headers_of(event).get("x-tenant")) not in (None, tenant):
        raise ForgedError(401, f"X-Tenant says {said[:64]!r}, and the key or token is another's: leave it out")
    return tenant


def _of_iam(identity: Json) -> str:
    """`<account>-<kind>-<name>`; a digest of that, where it has characters that no tenant has."""
    found = _ARN.fullmatch(identity.get("userArn") or "")
    if found is None:
        return ""
    kind, name = found["kind"], found["name"]
    if kind == "assumed-role":  # the session says nothing of who it is
        kind, name = "role", name.rpartition("/")[0] or name
    tenant = f"{found['account']}-{kind}-{name}"
    return tenant if _TENANT.fullmatch(tenant) else f"{found['account']}-{digest(kind, name)}"
