"""Bus, blobs and queue over the signed client: on an emulator, and over answers that it cannot be made to give."""

import datetime as dt
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing

import msgspec
import pytest
from aws_stack import make_bucket, make_bus, make_queue, received
from ministack import Emulator
from rest_server import Answer, Asked, Server, serving

from functions.adapters.aws.blobs import S3Blobs
from functions.adapters.aws.bus import DUE, LONGEST_DELAY_S, BusError, EventBridgeBus
from functions.adapters.aws.client import Aws, AwsError
from functions.adapters.aws.items import DynamoItems
from functions.adapters.aws.queue import handled
from functions.events.answer import UserMessage
from functions.events.envelope import Envelope, decode, open_request
from functions.ports.state import Timer
from functions.runtime.delivery import ACKNOWLEDGED, Outcome

ENVIRONMENT = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}
NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def envelope(text: str = "Is it?", **changes: object) -> Envelope:
    opened = open_request(
        UserMessage(text=text),
        workflow="answer",
        planversion="p",
        conversation="c",
        request="r",
        tenant="t",
        now=NOW,
        deadline=NOW + dt.timedelta(minutes=5),
    )
    return msgspec.structs.replace(opened, **changes)


def comparable(given: Envelope) -> tuple[Envelope, object]:
    """Whatever carries JSON may write it anew."""
    return msgspec.structs.replace(given, data=msgspec.Raw(b"null")), json.loads(bytes(given.data))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        yield opened


@pytest.fixture
def scripted(server: Server) -> Iterator[Aws]:
    aws = Aws({**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url})
    yield aws
    aws.close()


# The bus


def bus_of(aws: Aws, name: str, **queues: str) -> EventBridgeBus:
    return EventBridgeBus(aws, name=name, source=name, queues=queues, now=lambda: NOW)


def test_every_event_arrives_as_it_was_sent(emulator: Emulator, emulated: Aws, unique: str) -> None:
    queue = make_queue(emulator, unique)
    make_bus(emulator, unique, queue, {"source": [f"{unique}.answer"], "detail-type": ["UserMessage.v1"]})
    sent = [envelope(f"ü \U0001f600 \ufffe\uffff {number}", id=f"{number:032}") for number in range(23)]
    bus_of(emulated, unique).publish([*sent, envelope(workflow="another")])
    arrived = [decode(message["Body"].encode()) for message in received(emulator, queue, 24)]
    arrived.sort(key=lambda each: each.id)
    assert list(map(comparable, arrived)) == list(map(comparable, sent))


def test_an_event_that_is_due_later_says_when_and_waits_no_longer_than_sqs_lets_it(
    server: Server, scripted: Aws
) -> None:
    bus = bus_of(scripted, "stack", validator="https://queue/validator")
    for seconds in (-5, 60, 3600):
        due = NOW + dt.timedelta(seconds=seconds)
        bus.publish_later(Timer(envelope=envelope(target="validator"), due=due))
    sent = [json.loads(asked.body) for asked in server.asked]
    assert [each["DelaySeconds"] for each in sent] == [0, 60, LONGEST_DELAY_S]
    assert [float(each["MessageAttributes"][DUE]["StringValue"]) - NOW.timestamp() for each in sent] == [-5, 60, 3600]
    assert {each["QueueUrl"] for each in sent} == {"https://queue/validator"}


def test_whoever_has_no_queue_here_cannot_be_told_later(scripted: Aws) -> None:
    with pytest.raises(BusError, match="no queue is known for validator"):
        bus_of(scripted, "stack").publish_later(Timer(envelope=envelope(target="validator"), due=NOW))


def test_a_call_carries_one_type_and_source_and_no_more_than_ten_events(server: Server, scripted: Aws) -> None:
    def taken(asked: Asked) -> Answer:
        return Answer(
            body=json.dumps({"Entries": [{"EventId": "e"}] * len(json.loads(asked.body)["Entries"])}).encode()
        )

    server.script = taken
    sent = [envelope(id=str(number)) for number in range(12)]
    others = [envelope(type="PlanCreated.v1", id=str(number)) for number in range(12, 15)]
    bus_of(scripted, "stack").publish([others[0], *sent, *others[1:], envelope(workflow="research")])
    calls = [json.loads(asked.body)["Entries"] for asked in server.asked]
    assert sorted(map(len, calls)) == [1, 2, 3, 10]
    assert all(len({(each["Source"], each["DetailType"]) for each in call}) == 1 for call in calls)


def test_events_that_are_large_together_go_in_several_calls(server: Server, scripted: Aws) -> None:
    server.script = lambda asked: Answer(
        body=json.dumps({"Entries": [{"EventId": "e"}] * len(json.loads(asked.body)["Entries"])}).encode()
    )
    bus_of(scripted, "stack").publish([envelope("ü" * 150_000, id=str(number)) for number in range(5)])
    assert all(len(asked.body) < 1_000_000 for asked in server.asked)
    assert sum(len(json.loads(asked.body)["Entries"]) for asked in server.asked) == 5


def test_only_the_events_that_were_not_taken_are_sent_again(server: Server, scripted: Aws) -> None:
    throttled = {"ErrorCode": "ThrottlingException", "ErrorMessage": "later"}
    answers = iter([[{"EventId": "a"}, throttled, throttled], [throttled, {"EventId": "c"}], [{"EventId": "b"}]])
    server.script = lambda _: Answer(body=json.dumps({"Entries": next(answers)}).encode())
    bus_of(scripted, "stack").publish([envelope(id=name) for name in "abc"])
    calls = [[json.loads(each["Detail"])["id"] for each in json.loads(asked.body)["Entries"]] for asked in server.asked]
    assert calls == [["a", "b", "c"], ["b", "c"], ["b"]]


def test_an_event_that_is_never_taken_is_an_error(server: Server, scripted: Aws) -> None:
    refused = {"Entries": [{"ErrorCode": "NotAuthorizedForSource", "ErrorMessage": "who are you"}]}
    server.script = lambda _: Answer(body=json.dumps(refused).encode())
    with pytest.raises(BusError, match=r"UserMessage\.v1 on stack: NotAuthorizedForSource, who are you"):
        bus_of(scripted, "stack").publish([envelope()])
    assert len(server.asked) == 1  # who may not will not


def test_what_a_service_puts_off_is_asked_for_again_after_a_pause_until_the_callers_time_is_over(
    server: Server,
) -> None:
    slept: list[float] = []
    left = [20.0] * 60

    def left_s() -> float:
        return left.pop() if left else 0.0

    aws = Aws({**ENVIRONMENT, "AWS_ENDPOINT_URL": server.url}, left_s=left_s, sleep=slept.append)
    table = DynamoItems(aws, "table", lambda: NOW)
    key = {"pk": {"S": "p"}, "sk": {"S": "s"}}
    left_over = {
        "PutEvents": {"Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "later"}]},
        "BatchGetItem": {"Responses": {}, "UnprocessedKeys": {"table": {"Keys": [key]}}},
        "BatchWriteItem": {"UnprocessedItems": {"table": [{"DeleteRequest": {"Key": key}}]}},
    }
    done = {
        "PutEvents": {"Entries": [{"EventId": "e"}]},
        "BatchGetItem": {"Responses": {"table": []}},
        "BatchWriteItem": {},
    }
    calls: Counter[str] = Counter()

    def script(asked: Asked) -> Answer:
        operation = asked.headers["x-amz-target"].partition(".")[2]
        calls[operation] += 1
        return Answer(body=json.dumps((left_over if calls[operation] <= 12 else done)[operation]).encode())

    server.script = script
    bus_of(aws, "stack").publish([envelope()])
    table.get([("p", "s"), ("p", "t")])
    table.delete([("p", "s")])
    assert (set(calls.values()), len(slept)) == ({13}, 36)
    left.clear()
    calls.clear()
    with pytest.raises(AwsError):
        table.delete([("p", "s")])
    aws.close()


@pytest.fixture
def bucket(emulator: Emulator, unique: str) -> str:
    make_bucket(emulator, unique)
    return unique


def test_a_blob_is_read_as_it_was_stored(emulated: Aws, bucket: str) -> None:
    blobs = S3Blobs(emulated, bucket, "blobs/")
    for data in (b"", b"\x00\xff" * 100_000):
        blobs.put("a-key", data)
        blobs.put("a-key", data)
        assert blobs.get("a-key") == data
    with pytest.raises(KeyError):
        S3Blobs(emulated, bucket, "others/").get("a-key")


@pytest.mark.parametrize("said", ["no", "User: u is not authorized to perform: s3:ListBucket on resource: b"])
def test_what_is_refused_since_it_cannot_be_listed_is_not_there_and_said(
    server: Server, scripted: Aws, caplog: pytest.LogCaptureFixture, said: str
) -> None:
    server.script = lambda _: refused(said)
    with pytest.raises(KeyError):
        S3Blobs(scripted, "bucket", "blobs/").get("key")
    assert f"blobs/key is not there, or this role may not read it: {said}" in caplog.text


@pytest.mark.parametrize("action", ["s3:GetObject", "kms:Decrypt"])
def test_a_right_that_s3_names_as_missing_is_not_taken_for_a_blob_that_is(
    server: Server, scripted: Aws, action: str
) -> None:
    server.script = lambda _: refused(f"User: u is not authorized to perform: {action} on resource: r")
    with pytest.raises(AwsError, match=action):
        S3Blobs(scripted, "bucket", "blobs/").get("key")


def test_a_right_to_store_that_is_missing_comes_out(server: Server, scripted: Aws) -> None:
    server.script = lambda _: refused("no")
    with pytest.raises(AwsError, match="no"):
        S3Blobs(scripted, "bucket", "blobs/").put("key", b"")


def refused(said: str) -> Answer:
    return Answer(403, f"<Error><Code>AccessDenied</Code><Message>{said}</Message></Error>".encode())


def test_blobs_are_listed_by_how_their_keys_begin_and_removed(emulator: Emulator, emulated: Aws, bucket: str) -> None:
    blobs = S3Blobs(emulated, bucket, "blobs/")
    for key in ("a-1", "a-2", "b-1", "c-1"):
        blobs.put(key, b"x")
    S3Blobs(emulated, bucket, "others/").put("a-3", b"x")
    assert blobs.keys("a-", "b-", "d-") == ["a-1", "a-2", "b-1"]
    blobs.remove(["a-1", "a-1", "none"])
    assert blobs.keys("") == ["a-2", "b-1", "c-1"]
    with closing(emulator.client("s3")) as s3:
        assert [each["Key"] for each in s3.list_objects_v2(Bucket=bucket, Prefix="others/")["Contents"]] == [
            "others/a-3"
        ]


def test_a_list_of_several_pages_is_read_whole(server: Server, scripted: Aws) -> None:
    def page(asked: Asked) -> Answer:
        first = "continuation-token" not in asked.path
        following = "<NextContinuationToken>1/+=</NextContinuationToken>" if first else ""
        return Answer(body=f"<R><Key>blobs/{'a' if first else 'b'}</Key>{following}</R>".encode())

    server.script = page
    assert S3Blobs(scripted, "bucket", "blobs/").keys("") == ["a", "b"]
    assert "continuation-token=1%2F%2B%3D" in server.asked[1].path


# The queue


def records(emulator: Emulator, queue: str, bodies: Sequence[str]) -> list[dict[str, object]]:
    with closing(emulator.client("sqs")) as sqs:
        for body in bodies:
            sqs.send_message(QueueUrl=queue, MessageBody=body)
    return [
        {"messageId": each["MessageId"], "receiptHandle": each["ReceiptHandle"], "body": each["Body"]}
        for each in received(emulator, queue, len(bodies))
    ]


def test_each_message_of_a_batch_is_answered_for_by_its_own_outcome(
    emulator: Emulator, emulated: Aws, unique: str
) -> None:
    queue = make_queue(emulator, unique)
    batch = records(emulator, queue, ["done", "again", "busy"])
    outcomes = {
        "done": ACKNOWLEDGED,
        "again": Outcome(action="retry", due=NOW, error="no"),
        "busy": Outcome(action="defer", due=NOW + dt.timedelta(hours=1)),
    }
    answered = handled(
        {"Records": batch},
        aws=emulated,
        queue=queue,
        deliver=lambda raw: outcomes[raw.decode()],
        now=lambda: NOW,
    )
    failed = {each["messageId"] for each in batch if each["body"] != "done"}
    assert {each["itemIdentifier"] for each in answered["batchItemFailures"]} == failed
    assert [each["Body"] for each in received(emulator, queue, 1)] == ["again"]


def test_a_message_is_hidden_until_it_is_due_and_never_longer_than_sqs_lets_it(server: Server, scripted: Aws) -> None:
    for seconds in (-3, 90, 90_000):
        outcome = Outcome(action="retry", due=NOW + dt.timedelta(seconds=seconds))
        record = {"messageId": "m", "receiptHandle": "h", "body": "b"}
        handled(
            {"Records": [record]},
            aws=scripted,
            queue="q",
            deliver=lambda _, said=outcome: said,
            now=lambda: NOW,  # type: ignore[misc]
        )
    assert [json.loads(asked.body)["VisibilityTimeout"] for asked in server.asked] == [0, 90, 42_600]


@pytest.mark.parametrize(("received", "hidden_s"), [(1, 5), (3, 20), (60, 120)])
def test_what_a_port_raises_comes_out_and_its_message_comes_again_soon(
    server: Server, scripted: Aws, received: int, hidden_s: int
) -> None:
    def deliver(_: bytes) -> Outcome:
        raise ConnectionError("the table is away")

    attributes = {"ApproximateReceiveCount": str(received)}
    record = {"messageId": "m", "receiptHandle": "h", "body": "b", "attributes": attributes}
    with pytest.raises(ConnectionError, match="away"):
        handled({"Records": [record]}, aws=scripted, queue="q", deliver=deliver, now=lambda: NOW)
    assert [json.loads(asked.body)["VisibilityTimeout"] for asked in server.asked] == [hidden_s]


def test_where_sqs_is_away_too_what_a_port_raised_is_what_comes_out(server: Server, scripted: Aws) -> None:
    server.script = lambda _: Answer(403, b'{"__type": "AccessDeniedException"}')

    def deliver(_: bytes) -> Outcome:
        raise ConnectionError("the table is away")

    record = {"messageId": "m", "receiptHandle": "h", "body": "b", "attributes": {"ApproximateReceiveCount": "1"}}
    with pytest.raises(ConnectionError, match="away"):
        handled({"Records": [record]}, aws=scripted, queue="q", deliver=deliver, now=lambda: NOW)


def test_a_message_that_comes_before_it_is_due_is_sent_anew_and_then_acknowledged(
    server: Server, scripted: Aws
) -> None:
    def of(due: dt.datetime, body: str) -> dict[str, object]:
        attributes = {DUE: {"stringValue": str(due.timestamp()), "dataType": "Number"}}
        return {"messageId": body, "receiptHandle": "h", "body": body, "messageAttributes": attributes}

    delivered: list[bytes] = []

    def deliver(raw: bytes) -> Outcome:
        delivered.append(raw)
        return ACKNOWLEDGED

    batch = {"Records": [of(NOW, "due"), of(NOW + dt.timedelta(hours=20), "early")]}
    answer = handled(batch, aws=scripted, queue="https://queue/own", deliver=deliver, now=lambda: NOW)
    assert (answer, delivered) == ({"batchItemFailures": []}, [b"due"])
    (asked,) = server.asked
    assert asked.headers["x-amz-target"] == "AmazonSQS.SendMessage"
    sent = json.loads(asked.body)
    assert (sent["QueueUrl"], sent["MessageBody"], sent["DelaySeconds"]) == ("https://queue/own", "early", 900)
    assert float(sent["MessageAttributes"][DUE]["StringValue"]) == (NOW + dt.timedelta(hours=20)).timestamp()


@pytest.mark.parametrize("said", [{"stringValue": "soon"}, {"stringValue": "1e300"}, {"stringValue": "nan"}, {}])
def test_a_message_whose_time_cannot_be_read_is_handled_at_once(scripted: Aws, said: dict[str, str]) -> None:
    record = {"messageId": "m", "receiptHandle": "h", "body": "b", "messageAttributes": {DUE: said}}
    delivered: list[bytes] = []

    def deliver(raw: bytes) -> Outcome:
        delivered.append(raw)
        return ACKNOWLEDGED

    handled({"Records": [record]}, aws=scripted, queue="q", deliver=deliver, now=lambda: NOW)
    assert delivered == [b"b"]


def test_a_message_that_could_not_be_sent_anew_is_not_acknowledged(server: Server, scripted: Aws) -> None:
    server.script = lambda _: Answer(403, b'{"__type": "AccessDeniedException"}')
    attributes = {DUE: {"stringValue": str(NOW.timestamp() + 60), "dataType": "Number"}}
    early = {"messageId": "m", "receiptHandle": "h", "body": "b", "messageAttributes": attributes}
    with pytest.raises(AwsError, match="AccessDenied"):
        handled({"Records": [early]}, aws=scripted, queue="q", deliver=lambda _: ACKNOWLEDGED, now=lambda: NOW)
