"""What an agent is handed on AWS does what its port says: over emulated services and a vector store over REST."""

import datetime as dt
import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aws_stack import make_bucket, make_table
from carried_encoders import Carrying
from ministack import Emulator
from qdrant_server import qdrant_server
from rest_server import Answer, Server, serving
from small_encoder import SmallEncoder

from functions.adapters.aws import secrets
from functions.adapters.items import keys
from functions.adapters.items.requests import Opened
from functions.adapters.items.spending import ItemSpending
from functions.adapters.items.stops import ItemStops
from functions.adapters.items.writing import encoded
from functions.collections.opening import ensured
from functions.entry_points.aws.capabilities import STOP_SEEN_S, Capabilities, Stopped
from functions.entry_points.aws.environment import DEPLOYED, Deployed, said
from functions.entry_points.aws.stack import Stack
from functions.events.common import Passage
from functions.events.ingest import SentDocument
from functions.ports.actions import ActionError, ActionNames, Invoke
from functions.ports.conversations import Append, History
from functions.ports.documents import Ingest
from functions.ports.models import LanguageModel
from functions.ports.personal import Reveal
from functions.ports.spending import Spent
from functions.ports.stops import Stop, scope_of
from functions.ports.vectors import Lookup, Remove, Search, Upsert
from functions.runtime.agent import Grant
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Budget

REQUEST = Opened(
    tenant="t",
    request="r",
    conversation="c",
    workflow="answer",
    deadline=dt.datetime(2030, 1, 1, tzinfo=dt.UTC),
    origin="",
    accepted=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
)


def now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


class Bound:
    """A stack, and capabilities of it bound to a delivery."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.capabilities = Capabilities(stack)

    def __call__(self, capability: type, resource: str = "documents", **changes: Any) -> Any:  # noqa: ANN401 - any of the capabilities
        given: dict[str, Any] = {
            "tenant": "t",
            "conversation": "c",
            "request": "r",
            "key": "k",
            "origin": "k",
            "agent": "action",
            "attempt": 1,
            "until": now() + dt.timedelta(seconds=60),
            "budget": Budget(),
            "workflow": "answer",
        }
        grant = Grant(resource, capability, resource, optional=True)
        return self.capabilities.bind(grant, Binding(**(given | changes)))


Opens = Callable[..., Bound]


@pytest.fixture
def opened(emulator: Emulator, unique: str) -> Iterator[Opens]:
    """Opens the stack with more settings."""
    make_table(emulator, unique)
    make_bucket(emulator, unique)
    with ExitStack() as closed:

        def opened(secrets: dict[str, str] | None = None, **settings: str) -> Bound:
            deployed = Deployed(
                function="action",
                source=unique,
                workflows=("answer",),
                bus=unique,
                table=unique,
                bucket=unique,
                secrets=secrets or {},
            )
            environment = {**emulator.environment, DEPLOYED: said(deployed), **settings}
            stack = Stack(environment, now=now, left_s=lambda: 30.0)
            closed.callback(stack.aws.close)
            stack.items.put(keys.request("t", "r"), encoded(REQUEST), revision=0)  # or it counts as erased
            return Bound(stack)

        yield opened


@pytest.fixture
def vectors(opened: Opens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bound]:
    """With a collection `documents` in a store, as the keeper makes it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    folder = tmp_path / "vectors"
    folder.mkdir()
    with qdrant_server(folder) as server:
        bound = opened(TROUPE_VECTOR_STORE="qdrant", TROUPE_VECTOR_URL=server.url)
        stack, encoder = bound.stack, SmallEncoder()
        stack.encoders = Carrying(encoder)  # type: ignore[assignment]  # one that is made quickly
        ensured("documents", catalog=stack.catalog, store=stack.vectors, encoder=encoder, now=now)
        yield bound
        stack.vectors.close()


def passage(text: str, name: str = "p") -> Passage:
    return Passage(id=name, text=text, name=name, source=f"{name}.md")


def test_what_one_delivery_stores_another_finds_reads_and_removes(vectors: Bound) -> None:
    long = passage("A generator ends with StopIteration. " * 2_000, "long")  # beyond what a payload takes
    vectors(Upsert).upsert([passage("A list grows by append."), long])
    (found, *_) = vectors(Search).find("How does a generator end?", limit=1)
    assert (found.id, found.text) == ("long", long.text)
    assert [each.id for each in vectors(Lookup).read(["p", "none"])] == ["p"]
    assert vectors(Search, tenant="another").find("How does a generator end?") == []
    vectors(Remove).delete(["long"])
    assert [each.id for each in vectors(Search).find("generator append")] == ["p"]


def test_a_document_that_is_sent_becomes_passages(vectors: Bound) -> None:
    sent = SentDocument(name="notes.md", text="# Notes\n\nA generator ends with StopIteration.", format="markdown")
    (outcome,) = vectors(Ingest).ingest([sent])
    assert (outcome.name, outcome.skipped) == ("notes.md", "")
    assert outcome.written > 0
    assert "StopIteration" in vectors(Search).find("generator")[0].text
    vectors.capabilities._parser.close()


def test_a_conversation_is_remembered(opened: Opens) -> None:
    bound = opened()
    bound(Append, "conversations").append("user", "Is it?")
    assert bound(History, "conversations").history() == []  # its own
    (message,) = bound(History, "conversations", key="k2", origin="k2").history()
    assert (message.role, message.text) == ("user", "Is it?")


def test_what_a_stack_leaves_out_is_none(opened: Opens) -> None:
    bound = opened()
    assert [bound(each) for each in (LanguageModel, ActionNames, Invoke, Reveal)] == [None] * 4


@pytest.fixture
def model() -> Iterator[Server]:
    with serving() as server:
        usage = {"inputTokens": 20, "outputTokens": 3, "totalTokens": 23}
        said = {"output": {"message": {"content": [{"text": "It is."}]}}, "stopReason": "end_turn", "usage": usage}
        server.script = lambda _: Answer(body=json.dumps(said).encode())
        yield server


def test_a_model_of_bedrock_writes_within_the_budget_of_the_request(opened: Opens, model: Server) -> None:
    bound = opened(
        TROUPE_MODEL_URL="bedrock",
        TROUPE_MODEL="some.model-v1:0",
        TROUPE_MODEL_PRICE="1/10",
        AWS_ENDPOINT_URL_BEDROCK_RUNTIME=model.url,
    )
    assert bound(LanguageModel, "model").write("Be brief.", "Is it?", max_tokens=50) == "It is."
    ledger = ItemSpending(bound.stack.items, tenant="t", request="r", expires_at=now())
    assert ledger.spent() == Spent(tokens=23, micros=20 + 30)


def test_an_endpoint_with_a_key_in_a_secret_is_asked_with_it(
    opened: Opens, emulator: Emulator, unique: str, model: Server
) -> None:
    with closing(emulator.client("secretsmanager")) as manager:
        arn = manager.create_secret(Name=unique, SecretString="sk-of-the-stack")["ARN"]
    chunk = {"choices": [{"message": {"content": "It is."}, "finish_reason": "stop"}]}
    model.script = lambda _: Answer(body=json.dumps(chunk).encode(), headers={"content-type": "application/json"})
    bound = opened(
        {"TROUPE_MODEL_KEY": arn},
        TROUPE_MODEL_URL=f"{model.url}/v1",
        TROUPE_MODEL="served",
        TROUPE_MODEL_PRICE="0/0",
    )
    assert bound(LanguageModel, "model").write("Be brief.", "Is it?", max_tokens=50) == "It is."
    assert model.asked[0].headers["authorization"] == "Bearer sk-of-the-stack"
    bound.stack.chat._chat.close()  # type: ignore[union-attr]  # which Breaker and the endpoint have


def test_an_action_is_done_once_with_the_secret_that_it_names(
    opened: Opens, emulator: Emulator, unique: str, model: Server, tmp_path: Path
) -> None:
    with closing(emulator.client("secretsmanager")) as manager:
        arn = manager.create_secret(Name=unique, SecretString='{"DESK_TOKEN": "of-the-desk"}')["ARN"]
    file = tmp_path / "actions.toml"
    file.write_text(
        f'[actions.tell]\nurl = "{model.url}/tell"\nbody = {{ text = "{{text}}" }}\n'
        'private = ["127.0.0.1", "::1"]\nallow = ["localhost"]\n'
        'headers = { authorization = "Bearer secret:DESK_TOKEN" }\n'
    )
    bound = opened({"TROUPE_ACTION_SECRETS": arn}, TROUPE_ACTIONS=str(file))
    assert opened(TROUPE_ACTIONS=str(file))(ActionNames).names() == ["tell"]  # without a right to the secret
    for _ in range(2):  # a second try of one delivery
        assert bound(Invoke).invoke("tell", "hello").status == 200
    assert [asked.headers["authorization"] for asked in model.asked] == ["Bearer of-the-desk"]


def test_an_action_whose_secret_was_changed_is_sent_with_the_new_one(  # noqa: PLR0913, PLR0917 - fixtures
    opened: Opens, emulator: Emulator, unique: str, model: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "AGAIN_S", 0.0)
    model.script = lambda asked: Answer(200 if asked.headers["authorization"] == "new" else 401)
    file = tmp_path / "actions.toml"
    file.write_text(
        f'[actions.tell]\nurl = "{model.url}/tell"\nprivate = ["127.0.0.1", "::1"]\nallow = ["localhost"]\n'
        'headers = { authorization = "secret:DESK_TOKEN" }\n'
    )
    with closing(emulator.client("secretsmanager")) as manager:
        arn = manager.create_secret(Name=unique, SecretString='{"DESK_TOKEN": "old"}')["ARN"]
        bound = opened({"TROUPE_ACTION_SECRETS": arn}, TROUPE_ACTIONS=str(file))
        first = bound(Invoke)
        assert bound.stack.settings.table("TROUPE_ACTION_SECRETS") == {"DESK_TOKEN": "old"}
        manager.put_secret_value(SecretId=arn, SecretString='{"DESK_TOKEN": "new"}')
    with pytest.raises(ActionError, match="was not done"):
        first.invoke("tell", "hello")
    assert bound(Invoke).invoke("tell", "hello").status == 200


def test_personal_data_is_put_back_for_its_own_tenant(opened: Opens, emulator: Emulator, unique: str) -> None:
    with closing(emulator.client("secretsmanager")) as manager:
        arn = manager.create_secret(Name=unique, SecretString="0123456789abcdef" * 4)["ARN"]
    bound = opened({"TROUPE_PERSONAL_DATA_KEY": arn}, TROUPE_PERSONAL_DATA="vault")
    tokenizer = bound.stack.tokenizer
    assert tokenizer is not None
    (told,) = tokenizer.tokenized(["Write to ada@example.com."], tenant="t", keep=True)
    assert "ada@example.com" not in told
    assert bound(Reveal).revealed(told) == "Write to ada@example.com."
    assert bound(Reveal, tenant="another").revealed(told) == told


def test_a_stop_is_seen_within_moments(opened: Opens) -> None:
    stops = ItemStops(opened().stack.items)
    seconds = [0.0]
    binding = msgspec.structs.replace(_binding(), workflow="answer")
    stopped = Stopped(stops, binding, lambda: seconds[0])
    assert stopped.now() is None
    stop = Stop(scope=scope_of("stack"), at=now(), reason="enough", by="somebody")
    stops.stop(stop)
    assert stopped.now() is None
    seconds[0] += STOP_SEEN_S
    assert stopped.now() == stop


def _binding() -> Binding:
    return Binding(
        tenant="t",
        conversation="c",
        request="r",
        key="k",
        origin="k",
        agent="action",
        attempt=1,
        until=now(),
        budget=Budget(),
    )
