"""AWS's Signature Version 4 of a request: what proves who sends it, without sending the secret.

By "AWS Signature Version 4 for API requests" in AWS's guide to IAM. S3 differs in two things: its paths are not encoded
once more, and the digest of the body is a header of its own.
"""

import hashlib
import hmac
from collections.abc import Mapping
from datetime import datetime
from urllib.parse import quote

import msgspec

ALGORITHM = "AWS4-HMAC-SHA256"
UNRESERVED = "-_.~"


class Credentials(msgspec.Struct, frozen=True):
    """Who signs. It prints as nothing that could be used.

    Attributes:
        key_id: Of the access key.
        secret: The access key itself, which is never sent.
        token: Of a session; empty where the key is nobody's for a while only.
    """

    key_id: str
    secret: str
    token: str = ""

    def __repr__(self) -> str:
        return "<credentials>"

    def hidden_in(self, text: str) -> str:
        """A text from elsewhere, without what these credentials hold."""
        for each in filter(None, (self.token, self.secret, self.key_id)):
            text = text.replace(each, "<credentials>")
        return text


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed of a request.

    Attributes:
        method: E.g. `POST`.
        host: With its port, as the request names it.
        path: As it is sent: quoted.
        query: Its parameters, not quoted yet.
        headers: Those that are signed, by names in lower case, without `host`.
        body: What is sent.
    """

    method: str
    host: str
    path: str
    query: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Scope(msgspec.Struct, frozen=True):
    """What a signature is good for, beside its day."""

    region: str
    service: str


def signed(request: Request, scope: Scope, credentials: Credentials, now: datetime) -> dict[str, str]:
    """All headers that the request is to be sent with.

    Args:
        request: The request.
        scope: The region and the service, as the signature names it.
        credentials: Who signs.
        now: The time, in UTC.
    """
    at = f"{now:%Y%m%dT%H%M%SZ}"
    digest = hashlib.sha256(request.body).hexdigest()
    headers = {
        **request.headers,
        "host": request.host,
        "x-amz-date": at,
        **({"x-amz-security-token": credentials.token} if credentials.token else {}),
        **({"x-amz-content-sha256": digest} if scope.service == "s3" else {}),
    }
    names = ";".join(sorted(headers))
    lines = [
        request.method,
        request.path if scope.service == "s3" else quote(request.path, safe=f"/{UNRESERVED}"),
        query_of(request.query),
        *(f"{name}:{' '.join(headers[name].split())}" for name in sorted(headers)),
        "",
        names,
        digest,
    ]
    day = f"{at[:8]}/{scope.region}/{scope.service}/aws4_request"
    canonical = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    signature = hmac.new(
        _key(credentials.secret, at[:8], scope), f"{ALGORITHM}\n{at}\n{day}\n{canonical}".encode(), "sha256"
    ).hexdigest()
    who = f"Credential={credentials.key_id}/{day}, SignedHeaders={names}, Signature={signature}"
    return {**headers, "authorization": f"{ALGORITHM} {who}"}


def query_of(parameters: Mapping[str, str]) -> str:
    """A query as it is sent and signed: quoted, and in the order of its names."""
    quoted = ((quote(name, safe=UNRESERVED), quote(value, safe=UNRESERVED)) for name, value in parameters.items())
    return "&".join(f"{name}={value}" for name, value in sorted(quoted))


def _key(secret: str, day: str, scope: Scope) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (day, scope.region, scope.service, "aws4_request"):
        key = hmac.new(key, part.encode(), "sha256").digest()
    return key
