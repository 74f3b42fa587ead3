"""The events in `events/`, with what a test changes in them."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from functions.events.envelope import Envelope, encode

Json = dict[str, Any]
FOLDER = Path(__file__).parent / "events"


def event(name: str, **changed: Any) -> Json:
    """An event as AWS sends it, with other fields at its top."""
    found: Json = msgspec.json.decode((FOLDER / f"{name}.json").read_bytes())
    return found | changed


def http(  # noqa: PLR0913 - what a call is made of
    method: str,
    path: str,
    *,
    query: str = "",
    body: str = "",
    headers: Mapping[str, str] | None = None,
    authorizer: Json | None = None,
    **changed: Any,
) -> Json:
    """A call to the HTTP API; by the default tenant where nobody else is named."""
    found = event("http", rawPath=path, rawQueryString=query, body=body, **changed)
    found["headers"] |= headers or {}
    found["requestContext"]["http"] |= {"method": method, "path": path}
    if authorizer is not None:
        found["requestContext"]["authorizer"] = authorizer
    return found


def socket(name: str, connection: str = "c=", body: object = None, **context: Any) -> Json:
    """A WebSocket's beginning or message; bytes are sent as they are."""
    found = event(f"websocket_{name}")
    found["requestContext"] |= {"connectionId": connection, **context}
    if body is not None:
        found["body"] = body.decode() if isinstance(body, bytes) else msgspec.json.encode(body).decode()
    return found


def sqs(*bodies: bytes | Envelope) -> Json:
    """A batch; its messages are called 0, 1, …"""
    (record,) = event("sqs")["Records"]
    raw = [encode(each) if isinstance(each, Envelope) else each for each in bodies]
    return {"Records": [record | {"messageId": str(i), "body": each.decode()} for i, each in enumerate(raw)]}
