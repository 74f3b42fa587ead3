"""Who may call, by API key: the authorizer of the HTTP API and of the WebSocket's `$connect`.

A page cannot set a header on a WebSocket, so there a key may also come as a subprotocol, in Base64url: what is part of
a URL ends up in logs and histories, and a subprotocol does not.
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any, Final

from functions.adapters.aws.secrets import SecretSettings
from functions.api.callers import Keys, read_keys
from functions.api.problems import ProblemError
from functions.entry_points.aws.gateway import headers_of
from functions.entry_points.aws.invocation import LambdaContext
from functions.entry_points.aws.services import services

SETTING: Final = "TROUPE_API_KEYS"
SUBPROTOCOL: Final = "troupe"
KEY_SUBPROTOCOL: Final = "troupe.key."


def authorized(event: Mapping[str, Any], keys: Keys) -> dict[str, Any]:
    """What API Gateway is told: a simple answer to an HTTP API, a policy to a WebSocket API.

    Without a single key nobody is let in.
    """
    headers = headers_of(event)
    try:
        tenant = keys.tenant({"authorization": _bearer(headers)}) if len(keys) else ""
    except ProblemError:
        tenant = ""
    if "methodArn" in event:
        return _policy(event["methodArn"], tenant)
    return {"isAuthorized": bool(tenant), "context": {"tenant": tenant}}


def offered(headers: Mapping[str, str]) -> list[str]:
    """The subprotocols that a client offers."""
    return [each.strip() for each in headers.get("sec-websocket-protocol", "").split(",")]


def _bearer(headers: Mapping[str, str]) -> str:
    if "authorization" in headers:
        return headers["authorization"]
    encoded = next((each for each in offered(headers) if each.startswith(KEY_SUBPROTOCOL)), KEY_SUBPROTOCOL)
    text = encoded.removeprefix(KEY_SUBPROTOCOL)
    try:
        key = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode("ascii")
    except (binascii.Error, ValueError):
        return ""
    return f"Bearer {key}"


def _policy(arn: str, tenant: str) -> dict[str, Any]:
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow" if tenant else "Deny", "Resource": arn}
    return {
        "principalId": tenant or "nobody",
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"tenant": tenant},
    }


def let_in(event: Mapping[str, Any], settings: SecretSettings) -> dict[str, Any]:
    """See `authorized`; a key that is not known may be a new one, so the keys are read again before it is refused."""
    answer = authorized(event, read_keys(settings))
    if answer["context"]["tenant"]:
        return answer
    settings.refused(SETTING)
    return authorized(event, read_keys(settings))


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What Lambda calls."""
    return let_in(event, services().begun(context).stack.settings)
