"""The services' functions as Lambda calls them, over emulated services of AWS."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote_plus

import msgspec
import pytest
from aws_stack import make_bucket, make_bus, make_queue, make_table, received
from ministack import Emulator

from functions.adapters.aws.client import Aws
from functions.adapters.aws.items import DynamoItems
from functions.adapters.items import keys
from functions.adapters.items.requests import ItemRequests
from functions.adapters.items.state import Letter
from functions.entry_points.aws import api, authorizer, desk, sweeper, uploads
from functions.entry_points.aws.environment import DEPLOYED, Deployed, said
from functions.entry_points.aws.services import services
from functions.events.answer import UserMessage
from functions.events.decoding import decoder
from functions.events.envelope import Envelope, decode, encode, open_request
from functions.events.ingest import DocumentsReceived
from functions.runtime.topology import topology
from functions.workflows.answer import answer
from functions.workflows.ingest import ingest

PLANS = topology(answer)
KEY = "alice-has-a-long-key"


class Context:
    """Of an invocation with time left."""

    def get_remaining_time_in_millis(self) -> int:
        return 30_000


class Deployment:
    """A stack without agents, and a queue that hears what is published."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        self.emulator = emulator
        self.heard = make_queue(emulator, f"{name}-heard")
        self.dead = make_queue(emulator, f"{name}-planner-dead")
        for agent in {node for plan in topology(answer, ingest).values() for node in plan.nodes} - {"planner"}:
            make_queue(emulator, f"{name}-{agent.replace('_', '-')}-dead")
        make_table(emulator, name)
        make_bucket(emulator, name)
        make_bus(emulator, name, self.heard, {"source": [{"prefix": f"{name}."}]})
        with closing(emulator.client("secretsmanager")) as client:
            secret = client.create_secret(Name=f"{name}-keys", SecretString=f"alice={KEY}")["ARN"]
        self.deployed = Deployed(
            function="api",
            source=name,
            workflows=("answer", "ingest"),
            bus=name,
            table=name,
            bucket=name,
            secrets={"TROUPE_API_KEYS": secret},
            queues_at=self.dead.removesuffix("planner-dead"),
        )
        self.aws = Aws(emulator.environment)
        self.items = DynamoItems(self.aws, name, lambda: datetime.now(UTC))

    def environment(self, function: str) -> Mapping[str, str]:
        named = msgspec.structs.replace(self.deployed, function=function)
        return {**self.emulator.environment, DEPLOYED: said(named)}

    def published(self, count: int) -> list[Envelope]:
        return [decode(each["Body"].encode()) for each in received(self.emulator, self.heard, count)]

    def letters(self, agent: str) -> list[Letter]:
        return [decoder(Letter).decode(item.value) for item in self.items.query(keys.letters(agent))]


Call = Callable[[Any, Mapping[str, Any]], Any]


@pytest.fixture
def deployment(emulator: Emulator, unique: str) -> Iterator[Deployment]:
    made = Deployment(emulator, unique)
    yield made
    made.aws.close()


@pytest.fixture
def call(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Call:
    """Calls a service's handler, in an environment of its own."""

    def called(module: Any, event: Mapping[str, Any]) -> Any:  # noqa: ANN401 - what Lambda passes on
        for name, value in deployment.environment(module.__name__.rpartition(".")[2]).items():
            monkeypatch.setenv(name, value)
        try:
            return module.handler(event, Context())
        finally:
            services().stack.aws.close()
            services.cache_clear()

    return called


def question(**changes: object) -> Envelope:
    now = datetime.now(UTC)
    envelope = open_request(
        UserMessage(text="How does a generator end?"),
        workflow="answer",
        planversion=PLANS["answer"].version,
        conversation="c",
        request="r",
        tenant="t",
        now=now,
        deadline=now + timedelta(minutes=5),
    )
    return msgspec.structs.replace(envelope, **changes)


def test_a_message_that_fell_into_the_net_ends_its_request(deployment: Deployment, call: Call) -> None:
    requests = ItemRequests(deployment.items, _Unheard(), PLANS, lambda: datetime.now(UTC))
    requests.accept(question())
    with closing(deployment.emulator.client("sqs")) as sqs:
        sqs.send_message(QueueUrl=deployment.dead, MessageBody=encode(question(target="planner")).decode())
        assert call(sweeper, {})["net of planner"] == 1
        left = sqs.get_queue_attributes(QueueUrl=deployment.dead, AttributeNames=["All"])["Attributes"]
    (kept,) = deployment.letters("planner")
    assert (kept.letter.request, kept.letter.tenant) == ("r", "t")
    assert {left["ApproximateNumberOfMessages"], left["ApproximateNumberOfMessagesNotVisible"]} == {"0"}


def test_the_desk_parks_what_is_not_ours(deployment: Deployment, call: Call) -> None:
    record = {"messageId": "1", "body": encode(question(workflow="elsewhere")).decode()}
    assert call(desk, {"Records": [record]}) == {"batchItemFailures": []}
    assert [each.letter.reason for each in deployment.letters("desk")] == ["malformed envelope"]


def test_an_object_of_the_bucket_becomes_a_request(deployment: Deployment, call: Call) -> None:
    key, bucket = "documents/alice/opening hours.md", deployment.deployed.bucket
    with closing(deployment.emulator.client("s3")) as s3:
        s3.put_object(Bucket=bucket, Key=key, Body=b"# Hours\n\nAt nine.")
    told = {"bucket": {"name": bucket}, "object": {"key": quote_plus(key, safe="/"), "size": 17, "eTag": "e"}}
    record = {"messageId": "1", "body": json.dumps({"Records": [{"s3": told}]})}
    assert call(uploads, {"Records": [record]}) == {"batchItemFailures": []}
    (first,) = deployment.published(1)
    (document,) = msgspec.json.decode(first.data, type=DocumentsReceived).documents
    assert (first.tenant, document.name, document.text) == ("alice", "opening hours.md", "# Hours\n\nAt nine.")


def test_the_authorizer_knows_the_keys_of_the_secret(deployment: Deployment, call: Call) -> None:
    assert deployment
    for key, tenant in ((KEY, "alice"), ("another-long-key-1", "")):
        answered = call(authorizer, {"headers": {"authorization": f"Bearer {key}"}})
        assert answered == {"isAuthorized": bool(tenant), "context": {"tenant": tenant}}


def test_a_message_over_http_is_taken_published_and_shown(deployment: Deployment, call: Call) -> None:
    def asked(method: str, path: str, body: str = "") -> tuple[int, Any]:
        context = {
            "http": {"method": method, "path": path},
            "requestId": "id",
            "stage": "$default",
            "authorizer": {"lambda": {"tenant": "alice"}},
        }
        headers = {"content-type": "application/json"}
        event = {"rawPath": path, "rawQueryString": "", "headers": headers, "requestContext": context, "body": body}
        answered = call(api, event)
        return answered["statusCode"], json.loads(answered["body"])

    assert asked("GET", "/healthz") == (200, {"status": "ok"})
    status, accepted = asked("POST", "/conversations/c/messages", '{"text": "How does a generator end?"}')
    assert status == 202
    assert [each.tenant for each in deployment.published(1)] == ["alice"]
    assert asked("GET", accepted["status"])[1]["status"] == "running"


class _Unheard:
    """A bus on which nobody hears anything."""

    def publish(self, envelopes: object) -> None:
        del envelopes

    def publish_later(self, timer: object) -> None:
        del timer
