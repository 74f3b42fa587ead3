"""Uploads: an object that is put under `documents/<tenant>/` becomes a request of the workflow that reads documents.

An object's name below its tenant is the document's: the same name again takes the place of the one before. S3 tells a
queue of an object at least once, so the request's id is made of the object's version; and in no order, so what is read
is the object as it is now: whoever hears of an older version last reads the newest one, too. What cannot be taken now
is seen again every ten minutes for hours, and then falls into the net.
"""

import base64
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import unquote_plus

import msgspec

from functions.adapters.aws.blobs import S3Blobs
from functions.api.documents import conversation_of, filled_by_users
from functions.entry_points.aws.batch import each
from functions.entry_points.aws.invocation import LambdaContext
from functions.entry_points.aws.services import services
from functions.errors import TroupeError
from functions.events.decoding import decoder
from functions.events.envelope import digest, open_request
from functions.events.ingest import DocumentName, DocumentsReceived, Format, SentDocument
from functions.ports.blobs import Blobs
from functions.ports.requests import Limits, Requests
from functions.ports.state import DeadLetter
from functions.runtime.arrival import claim_checked
from functions.runtime.dead_letters import unreadable
from functions.runtime.workflow import Plan

NAME: Final = "uploads"
PREFIX: Final = "documents/"
TEST: Final = "s3:TestEvent"  # S3's, when it is told where to tell of objects
MOST_BYTES: Final = 20 * 1024**2
DEADLINE: Final = timedelta(hours=12)  # nobody waits for it, and others may be before it
#: Less than messages may have open: of those somebody waits for the answer, and one folder may have more objects.
LIMITS: Final = Limits(open=4_000, of_tenant=2_000, of_conversation=2_000)
FORMATS: Final[Mapping[str, Format]] = {
    ".htm": "html",
    ".html": "html",
    ".markdown": "markdown",
    ".md": "markdown",
    ".pdf": "pdf",
    ".rst": "rst",
    ".txt": "text",
}
_KEY = re.compile(r"documents/(?P<tenant>[A-Za-z0-9_-]{1,64})/(?P<name>.+)", re.DOTALL)

log = logging.getLogger("troupe.uploads")


class RefusedError(TroupeError):
    """An object that is no document, and will not become one."""


class Put(msgspec.Struct, frozen=True, kw_only=True):
    """An object that was put.

    Attributes:
        key: As S3 has it.
        request: The id of the request that it becomes: another one for each time that it is put.
    """

    key: str
    size: int
    request: str


@dataclass(frozen=True)
class Desk:
    """Takes documents in.

    Attributes:
        bucket: The stack's.
        plans: By the workflow's name.
        requests: Where they are accepted.
        blobs: For what is too large to travel.
        fetch: The bytes of an object by its key; a `KeyError` where it is not there.
        park: Keeps a dead letter.
        now: The time, in UTC.
    """

    bucket: str
    plans: Mapping[str, Plan]
    requests: Requests
    blobs: Blobs
    fetch: Callable[[str], bytes]
    park: Callable[[DeadLetter], None]
    now: Callable[[], datetime]


def received(event: Mapping[str, Any], desk: Desk) -> dict[str, int]:
    """How many of the objects that S3 tells of became requests, and how many are dead letters.

    Raises:
        QueueFullError: More wait than may: the message is seen again.
    """
    counts = {"accepted": 0, "refused": 0}
    if event.get("Event") == TEST:
        return counts
    for record in event["Records"]:
        try:
            _accept(_put(record, desk.bucket), desk)
            counts["accepted"] += 1
        except RefusedError as error:
            log.warning("%s", error)
            desk.park(unreadable(NAME, msgspec.json.encode(record), error, desk.now()))
            counts["refused"] += 1
    return counts


def heard(event: Mapping[str, Any], desk: Desk) -> dict[str, Any]:
    """What Lambda is answered for a batch of S3's messages."""

    def take(raw: bytes) -> None:
        try:
            told = decoder(dict[str, Any]).decode(raw)
        except msgspec.MsgspecError as error:
            desk.park(unreadable(NAME, raw, error, desk.now()))
        else:
            received(told, desk)

    return each(event, take)


def _put(record: Mapping[str, Any], bucket: str) -> Put:
    if record["s3"]["bucket"]["name"] != bucket:
        raise RefusedError(f"an object of {record['s3']['bucket']['name']} was announced, and the bucket is {bucket}")
    found = record["s3"]["object"]
    key = unquote_plus(found["key"])
    again = found.get("versionId") or f"{found.get('eTag', '')}#{found.get('sequencer', '')}"
    return Put(key=key, size=found.get("size", 0), request=digest(bucket, key, again))


def _accept(put: Put, desk: Desk) -> None:
    tenant, name, kind = _said_by(put)
    found = [(plan, name) for plan in desk.plans.values() for name in sorted(filled_by_users(plan))]
    if not found:
        raise RefusedError(f"{put.key}: no workflow of this stack reads documents: deploy `ingest`")
    plan, collection = found[0]
    now = desk.now()
    envelope = open_request(
        DocumentsReceived(documents=(_document(name, kind, _fetched(put, desk)),)),
        workflow=plan.workflow.name,
        planversion=plan.version,
        conversation=conversation_of(collection),
        request=put.request,
        tenant=tenant,
        priority="low",
        now=now,
        deadline=now + DEADLINE,
    )
    desk.requests.accept(claim_checked(envelope, desk.blobs), limits=LIMITS)


def _said_by(put: Put) -> tuple[str, str, Format]:
    """Tenant, name and format, as the key says them."""
    key = _KEY.fullmatch(put.key)
    if key is None:
        raise RefusedError(f"{put.key}: expected {PREFIX}<tenant>/<name>, the tenant in letters, digits, - and _")
    try:
        name: str = msgspec.convert(key["name"], DocumentName)
    except msgspec.ValidationError as error:
        raise RefusedError(f"{put.key}: its name cannot be a document's ({error})") from error
    kind = FORMATS.get(PurePosixPath(name).suffix.lower())
    if kind is None:
        raise RefusedError(f"{put.key}: its format is not read: expected {', '.join(FORMATS)}")
    _refuse_large(put.key, put.size)
    return key["tenant"], name, kind


def _fetched(put: Put, desk: Desk) -> bytes:
    try:
        data = desk.fetch(put.key)
    except KeyError as error:
        raise RefusedError(f"{put.key}: it is not there any more: put it again, if it is to be read") from error
    _refuse_large(put.key, len(data))  # it may be another one than S3 told of
    return data


def _refuse_large(key: str, size: int) -> None:
    if size > MOST_BYTES:
        raise RefusedError(f"{key}: {size:,} bytes, and at most {MOST_BYTES:,} are read: split it")


def _document(name: str, kind: Format, data: bytes) -> SentDocument:
    """A file's text where that is UTF-8, else its bytes: whoever reads it finds out the encoding."""
    if kind != "pdf":
        try:
            return SentDocument(name=name, text=data.decode(), format=kind)
        except UnicodeDecodeError:
            pass
    return SentDocument(name=name, text=base64.b64encode(data).decode(), format=kind, base64=True)


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What Lambda calls."""
    found = services().begun(context)
    stack = found.stack
    desk = Desk(
        bucket=stack.deployed.bucket,
        plans=stack.current,
        requests=found.requests,
        blobs=stack.blobs,
        fetch=S3Blobs(stack.aws, stack.deployed.bucket, "").get,
        park=found.state.park,
        now=stack.now,
    )
    return heard(event, desk)
