"""An object under `documents/<tenant>/` becomes a request once; what is no document becomes a dead letter."""

import base64
from typing import Any

import msgspec
import pytest
from aws_events import event
from aws_fakes import Json
from memory_target import MemoryTarget

from functions.entry_points.aws.services import LIMITS as MESSAGES
from functions.entry_points.aws.uploads import DEADLINE, LIMITS, MOST_BYTES, Desk, heard, received
from functions.events.ingest import DocumentsReceived, SentDocument
from functions.ports.requests import Limits, QueueFullError
from functions.runtime.arrival import claimed
from functions.workflows.ingest import ingest

TEXT = b"# Opening hours\n\nAt nine."


class Bucket:
    """A stack that reads documents, and its bucket."""

    def __init__(self) -> None:
        self.memory = MemoryTarget(ingest)
        self.objects: dict[str, bytes] = {}
        self.desk = Desk(
            bucket="troupe-dev-000000000000",
            plans=self.memory.plans,
            requests=self.memory.requests,
            blobs=self.memory.blobs,
            fetch=lambda key: self.objects[key],
            park=self.memory.state().park,
            now=self.memory.clock,
        )

    def put(self, data: bytes = TEXT, **changed: Any) -> Json:
        """S3's message about an object that is there now; fields of the object can be others."""
        told = event("s3")
        found = told["Records"][0]["s3"]["object"]
        found |= {"size": len(data), **changed}
        self.objects[found["key"].replace("+", " ")] = data
        return told

    def sent(self) -> list[tuple[str, SentDocument]]:
        """The documents on the bus, with whose they are."""
        envelopes = [claimed(each, self.memory.blobs) for each in self.memory.queued()]
        return [
            (each.tenant, document)
            for each in envelopes
            for document in msgspec.json.decode(each.data, type=DocumentsReceived).documents
        ]


@pytest.fixture
def bucket() -> Bucket:
    return Bucket()


def test_an_object_becomes_a_request_of_its_tenant_under_its_name(bucket: Bucket) -> None:
    assert received(bucket.put(), bucket.desk) == {"accepted": 1, "refused": 0}
    document = SentDocument(name="guides/opening hours.md", text=TEXT.decode(), format="markdown")
    assert bucket.sent() == [("default", document)]
    (envelope,) = bucket.memory.queued()
    assert (envelope.workflow, envelope.conversation) == ("ingest", "collection:documents")
    assert envelope.deadline - envelope.time == DEADLINE


def test_an_object_that_s3_tells_of_twice_is_read_once(bucket: Bucket) -> None:
    told = bucket.put()
    received(told, bucket.desk)
    bucket.memory.clock.advance(1)
    received(told, bucket.desk)
    assert len({each.request for each in bucket.memory.queued()}) == 1
    assert bucket.memory.requests.depth("collection:documents", tenant="default").of_conversation == 1


@pytest.mark.parametrize("change", [{"versionId": "another"}, {"eTag": "e2", "versionId": ""}, {"sequencer": "0D"}])
def test_an_object_that_is_put_again_is_another_request(bucket: Bucket, change: dict[str, str]) -> None:
    without = {} if "versionId" in change else {"versionId": ""}
    received(bucket.put(**without), bucket.desk)
    received(bucket.put(**without | change), bucket.desk)
    assert bucket.memory.requests.depth("collection:documents", tenant="default").of_conversation == 2


def test_an_older_version_that_s3_tells_of_late_takes_the_place_of_no_newer_one(bucket: Bucket) -> None:
    older = bucket.put(b"old", versionId="1")
    bucket.put(b"new", versionId="2")
    received(older, bucket.desk)
    assert [document.text for _, document in bucket.sent()] == ["new"]


@pytest.mark.parametrize(("now", "says"), [(None, "not there any more"), (b"x" * (MOST_BYTES + 1), "split it")])
def test_an_object_that_was_removed_or_grew_since_is_a_dead_letter(
    bucket: Bucket, now: bytes | None, says: str
) -> None:
    told = bucket.put()
    (key,) = bucket.objects
    if now is None:
        del bucket.objects[key]
    else:
        bucket.objects[key] = now
    assert received(told, bucket.desk) == {"accepted": 0, "refused": 1}
    assert says in bucket.memory.dead_letters()[0].error


def test_bytes_travel_as_they_are_where_they_are_no_utf_8(bucket: Bucket) -> None:
    for key, data in (("documents/a/x.pdf", b"%PDF-1.7"), ("documents/b/x.txt", "Öffnung".encode("cp1252"))):
        received(bucket.put(data, key=key), bucket.desk)
    sent = dict(bucket.sent())
    assert base64.b64decode(sent["a"].text) == b"%PDF-1.7"
    assert (sent["a"].format, sent["a"].base64, sent["b"].base64) == ("pdf", True, True)
    assert base64.b64decode(sent["b"].text).decode("cp1252") == "Öffnung"


def test_what_is_too_large_to_travel_lies_in_the_blobs(bucket: Bucket) -> None:
    received(bucket.put(b"a" * 100_000, key="documents/default/large.txt"), bucket.desk)
    assert len(bucket.memory.blobs.stored) == 1
    assert len(bucket.sent()[0][1].text) == 100_000


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"key": "documents/x.md"}, "documents/<tenant>/<name>"),
        ({"key": "documents/a.b/x.md"}, "documents/<tenant>/<name>"),
        ({"key": "blobs/default/x.md"}, "documents/<tenant>/<name>"),
        ({"key": "documents/default/x.exe"}, "its format is not read"),
        ({"key": "documents/default/folder/"}, "its format is not read"),
        ({"key": "documents/default/" + "x" * 300 + ".md"}, "its name cannot be"),
        ({"key": "documents/default/a%0Ab.md"}, "its name cannot be"),
        ({"size": MOST_BYTES + 1}, "split it"),
    ],
)
def test_what_is_no_document_is_a_dead_letter_and_never_fetched(
    bucket: Bucket, change: dict[str, object], says: str
) -> None:
    told = bucket.put(**change)
    bucket.objects.clear()
    assert received(told, bucket.desk) == {"accepted": 0, "refused": 1}
    (letter,) = bucket.memory.dead_letters()
    assert (letter.agent, says in letter.error) == ("uploads", True)
    assert bucket.memory.queued() == []


def test_another_buckets_object_is_refused(bucket: Bucket) -> None:
    told = bucket.put()
    told["Records"][0]["s3"]["bucket"]["name"] = "elsewhere"
    assert received(told, bucket.desk) == {"accepted": 0, "refused": 1}


def test_where_too_much_waits_s3_is_told_to_come_again(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("functions.entry_points.aws.uploads.LIMITS", Limits(open=1))
    received(bucket.put(), bucket.desk)
    with pytest.raises(QueueFullError):
        received(bucket.put(versionId="another"), bucket.desk)


def test_documents_that_wait_leave_room_for_messages() -> None:
    assert LIMITS.open < MESSAGES.open
    assert LIMITS.of_tenant < MESSAGES.of_tenant


def messages(*bodies: bytes) -> Json:
    """A batch of the queue that S3 tells of objects."""
    return {"Records": [{"messageId": str(number), "body": body.decode()} for number, body in enumerate(bodies)]}


def test_a_message_that_cannot_be_taken_now_is_seen_again_and_no_other_one(
    bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.entry_points.aws.uploads.LIMITS", Limits(open=1))
    first, second = (msgspec.json.encode(bucket.put(versionId=version)) for version in ("1", "2"))
    assert heard(messages(first, second), bucket.desk) == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert len(bucket.sent()) == 1


def test_what_s3_sends_to_see_whether_it_may_is_taken(bucket: Bucket) -> None:
    test = {"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": bucket.desk.bucket}
    assert heard(messages(msgspec.json.encode(test)), bucket.desk) == {"batchItemFailures": []}
    assert (bucket.sent(), bucket.memory.dead_letters()) == ([], [])


def test_what_cannot_be_read_is_a_dead_letter(bucket: Bucket) -> None:
    assert heard(messages(b"{"), bucket.desk) == {"batchItemFailures": []}
    assert [each.agent for each in bucket.memory.dead_letters()] == ["uploads"]
