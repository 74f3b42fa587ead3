"""An agent's function as Lambda runs it: AWS's runtime client around the entry point, over emulated services."""

import datetime as dt
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aws_stack import make_bucket, make_bus, make_queue, make_table, received
from lambda_runtime import Answered, Function, running
from ministack import Emulator

from functions.adapters.aws.bus import DUE
from functions.adapters.aws.client import Aws
from functions.adapters.aws.items import DynamoItems
from functions.adapters.items import keys
from functions.adapters.items.conversations import ItemConversations
from functions.adapters.items.state import Letter
from functions.entry_points.aws.environment import DEPLOYED, Deployed, said
from functions.events.answer import QuestionAsked, UserMessage
from functions.events.decoding import decoder
from functions.events.envelope import Envelope, decode, encode, open_request
from functions.runtime.topology import topology
from functions.workflows.answer import answer

HANDLER = "functions.entry_points.aws.agent.handler"
PLAN = topology(answer)["answer"]


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Deployment:
    """One agent, its queue, and a queue that hears what it emits."""

    def __init__(self, emulator: Emulator, name: str, agent: str) -> None:
        self.emulator = emulator
        queues = {each: make_queue(emulator, f"{name}-{each}") for each in (agent, "validator", "summarizer")}
        self.queue = queues[agent]
        self.heard = make_queue(emulator, f"{name}-heard")
        make_table(emulator, name)
        make_bucket(emulator, name)
        make_bus(emulator, name, self.heard, {"source": [{"prefix": f"{name}."}]})
        self.deployed = Deployed(
            function=agent,
            source=name,
            workflows=("answer",),
            bus=name,
            table=name,
            bucket=name,
            queues_at=self.queue.removesuffix(agent),
        )
        self.aws = Aws(emulator.environment)
        self.items = DynamoItems(self.aws, name, now)

    @property
    def environment(self) -> Mapping[str, str]:
        return {**self.emulator.environment, DEPLOYED: said(self.deployed)}

    def record(self, body: str, **attributes: Mapping[str, str]) -> dict[str, Any]:
        """A message of the agent's queue as Lambda is given it."""
        with closing(self.emulator.client("sqs")) as sqs:
            sqs.send_message(QueueUrl=self.queue, MessageBody=body)
            (message,) = sqs.receive_message(QueueUrl=self.queue, WaitTimeSeconds=5, VisibilityTimeout=600)["Messages"]
        return {
            "messageId": message["MessageId"],
            "receiptHandle": message["ReceiptHandle"],
            "body": message["Body"],
            "attributes": {"ApproximateReceiveCount": "1"},
            "messageAttributes": attributes,
            "eventSource": "aws:sqs",
        }

    def letters(self) -> list[Letter]:
        found = self.items.query(keys.letters(self.deployed.function))
        return [decoder(Letter).decode(item.value) for item in found]


@pytest.fixture
def closing_all() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def deployed(emulator: Emulator, unique: str, agent: str, opened: ExitStack) -> Deployment:
    deployment = Deployment(emulator, unique, agent)
    opened.callback(deployment.aws.close)
    return deployment


def started(deployment: Deployment, opened: ExitStack, log: Path, **settings: str) -> Function:
    return opened.enter_context(running(HANDLER, {**deployment.environment, **settings}, log))


def question(**changes: object) -> Envelope:
    envelope = open_request(
        UserMessage(text="How does a generator end?"),
        workflow="answer",
        planversion=PLAN.version,
        conversation="c",
        request="r",
        tenant="t",
        now=now(),
        deadline=now() + dt.timedelta(minutes=5),
    )
    return msgspec.structs.replace(envelope, **changes)


def batch(*records: Mapping[str, Any]) -> dict[str, Any]:
    return {"Records": list(records)}


def test_a_good_event_is_taken_through_the_agent_and_acknowledged(
    emulator: Emulator, unique: str, closing_all: ExitStack, tmp_path: Path
) -> None:
    deployment = deployed(emulator, unique, "orchestrator", closing_all)
    function = started(deployment, closing_all, tmp_path / "log")
    event = batch(deployment.record(encode(question()).decode()))
    assert function.invoke(event) == Answered("response", {"batchItemFailures": []})
    (message,) = received(emulator, deployment.heard, 1)
    emitted = decode(message["Body"].encode())
    assert (emitted.name, emitted.request, emitted.tenant) == (QuestionAsked.__name__, "r", "t")
    said_in = ItemConversations(deployment.items, now).messages("c", tenant="t", limit=5)
    assert [each.text for each in said_in] == ["How does a generator end?"]
    assert function.invoke(event) == Answered("response", {"batchItemFailures": []})  # delivered a second time
    assert len(ItemConversations(deployment.items, now).messages("c", tenant="t", limit=5)) == 1


def test_a_delivery_that_fails_is_one_failure_of_its_batch_and_seen_again_when_it_is_due(
    emulator: Emulator, unique: str, closing_all: ExitStack, tmp_path: Path
) -> None:
    deployment = deployed(emulator, unique, "orchestrator", closing_all)
    settings = {"TROUPE_ACTIONS": str(tmp_path / "none.toml")}  # so that its capability cannot be bound
    function = started(deployment, closing_all, tmp_path / "log", **settings)
    failing = deployment.record(encode(question()).decode())
    answered = function.invoke(batch(failing))
    assert answered == Answered("response", {"batchItemFailures": [{"itemIdentifier": failing["messageId"]}]})
    (again,) = received(emulator, deployment.queue, 1)
    assert again["MessageId"] == failing["messageId"]
    assert deployment.letters() == []


def test_a_malformed_record_becomes_a_dead_letter_and_leaves_the_rest_of_its_batch_alone(
    emulator: Emulator, unique: str, closing_all: ExitStack, tmp_path: Path
) -> None:
    deployment = deployed(emulator, unique, "orchestrator", closing_all)
    function = started(deployment, closing_all, tmp_path / "log")
    hostile = [deployment.record(body) for body in ("{", "no JSON, ü", '{"type": "X.v1"}')]
    good = deployment.record(encode(question()).decode())
    assert function.invoke(batch(*hostile, good)) == Answered("response", {"batchItemFailures": []})
    letters = deployment.letters()
    assert len(letters) == 3
    assert {each.letter.reason for each in letters} == {"malformed envelope"}
    assert len(received(emulator, deployment.heard, 1)) == 1


def test_what_is_due_later_is_put_off_again_and_not_handled(
    emulator: Emulator, unique: str, closing_all: ExitStack, tmp_path: Path
) -> None:
    deployment = deployed(emulator, unique, "orchestrator", closing_all)
    function = started(deployment, closing_all, tmp_path / "log")
    due = {"stringValue": str(now().timestamp() + 3600), "dataType": "Number"}
    early = deployment.record(encode(question()).decode(), **{DUE: due})
    answered = function.invoke(batch(early))
    assert answered.body == {"batchItemFailures": [{"itemIdentifier": early["messageId"]}]}
    assert deployment.items.query(keys.deliveries("orchestrator", "t", "r")) == []


def test_an_event_of_an_older_plan_goes_on_by_the_plan_in_the_bucket(
    emulator: Emulator, unique: str, closing_all: ExitStack, tmp_path: Path
) -> None:
    from functions.runtime.plans import frozen  # noqa: PLC0415 - of this test alone

    deployment = deployed(emulator, unique, "orchestrator", closing_all)
    older = msgspec.structs.replace(PLAN, version="older1")
    with closing(emulator.client("s3")) as s3:
        s3.put_object(Bucket=unique, Key="plans/answer/older1", Body=frozen(older))
    function = started(deployment, closing_all, tmp_path / "log")
    event = batch(deployment.record(encode(question(planversion="older1")).decode()))
    assert function.invoke(event).body == {"batchItemFailures": []}
    (message,) = received(emulator, deployment.heard, 1)
    assert decode(message["Body"].encode()).planversion == "older1"


def test_an_event_of_a_plan_that_nobody_has_is_tried_again(
    emulator: Emulator, unique: str, closing_all: ExitStack, tmp_path: Path
) -> None:
    deployment = deployed(emulator, unique, "orchestrator", closing_all)
    function = started(deployment, closing_all, tmp_path / "log")
    unknown = deployment.record(encode(question(planversion="unknown1")).decode())
    answered = function.invoke(batch(unknown))
    assert answered.body == {"batchItemFailures": [{"itemIdentifier": unknown["messageId"]}]}


def test_a_store_that_does_not_answer_is_an_error_of_the_function_before_its_time_is_over(
    emulator: Emulator, unique: str, closing_all: ExitStack, tmp_path: Path
) -> None:
    deployment = deployed(emulator, unique, "orchestrator", closing_all)
    settings = {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}
    function = started(deployment, closing_all, tmp_path / "log", **settings)
    answered = function.invoke(batch(deployment.record(encode(question()).decode())), left_s=3)
    assert answered.kind == "error"
    assert answered.body["errorType"] == "AwsError"
    assert re.search(r"^dynamodb.*within 2\.\d+ s", answered.body["errorMessage"])


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({DEPLOYED: "{}"}, "is not what this version expects"),
        ({DEPLOYED: ""}, "is not set"),
        ({"AWS_REGION": ""}, "AWS_REGION is not set"),
    ],
)
def test_a_function_that_is_set_up_wrongly_says_so_when_it_starts(
    closing_all: ExitStack, tmp_path: Path, changes: Mapping[str, str], says: str
) -> None:
    environment = {
        "AWS_REGION": "us-east-1",
        DEPLOYED: said(
            Deployed(
                function="orchestrator",
                source="s",
                workflows=("answer",),
                bus="b",
                table="t",
                bucket="b",
                queues_at="https://queue/",
            )
        ),
        **changes,
    }
    function = closing_all.enter_context(running(HANDLER, environment, tmp_path / "log"))
    answered = function.invoke({})
    assert answered.kind == "error"
    assert says in answered.body["errorMessage"]
