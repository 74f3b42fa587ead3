"""The commands on a stack, as a person with credentials of their own gives them; the stack is an emulator's."""

import builtins
from collections.abc import Iterable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec
import pytest
from aws_stack import make_bucket, make_bus, make_queue, make_table, received
from command import Troupe
from memory_collection import MemoryCollection
from ministack import ACCOUNT, Emulator, ministack

from functions.adapters.aws.blobs import DELIVERIES, S3Blobs
from functions.adapters.aws.bus import EventBridgeBus
from functions.adapters.aws.client import Aws, AwsError
from functions.adapters.aws.items import DynamoItems
from functions.adapters.items import keys
from functions.adapters.items.catalog import ItemCatalog
from functions.adapters.items.conversations import ItemTalk
from functions.adapters.items.effects import ItemEffects
from functions.adapters.items.holding import ItemUpsert
from functions.adapters.items.requests import ItemRequests, read
from functions.adapters.items.rights import ItemRights
from functions.adapters.items.state import ItemState
from functions.adapters.items.stops import ItemStops
from functions.adapters.vectors.bound import TenantUpsert, Time
from functions.collections.lifecycle import create
from functions.events.answer import UserMessage
from functions.events.common import Passage
from functions.events.envelope import Envelope, decode, encode, open_request
from functions.ports.effects import Effect, Sent
from functions.ports.state import Timer
from functions.runtime.delivery import Binding, Lost, Ports, give_up
from functions.runtime.plans import crew_of
from functions.runtime.topology import topology
from functions.runtime.workflow import Budget
from functions.workflows.catalog import WORKFLOWS
from infra.settings import VectorSettings
from ops import stack as stack_module

PLANS = topology(*WORKFLOWS.values())
LARGE = "How do I sort a list? " * 5_000
_numbers = count()


class Model:
    """As a stack declares an encoder."""

    version = "small.encoder"
    dimension = 8


class Deployment:
    """A stack without functions, and a queue that hears what is published."""

    def __init__(self, emulator: Emulator, name: str) -> None:
        self.name = name
        self.emulator = emulator
        self.heard = make_queue(emulator, f"{name}-heard")
        make_table(emulator, name)
        make_bucket(emulator, f"{name}-{ACCOUNT}")
        make_bus(emulator, name, self.heard, {"source": [{"prefix": f"{name}."}]})
        self.aws = Aws(emulator.environment)
        self.items = DynamoItems(self.aws, name, self.now)
        self.blobs = S3Blobs(self.aws, f"{name}-{ACCOUNT}", DELIVERIES)
        self.bus = EventBridgeBus(self.aws, name=name, source=name, queues={}, now=self.now)
        self.requests = ItemRequests(self.items, self.bus, PLANS, self.now)

    @staticmethod
    def now() -> datetime:
        return datetime.now(UTC)

    def published(self, number: int = 1) -> list[Envelope]:
        return [decode(each["Body"].encode()) for each in received(self.emulator, self.heard, number)]

    def asks(self, text: str = "How do I sort a list?", conversation: str = "c1", request: str = "r1") -> Envelope:
        """The first event of a request, which is open from now on."""
        plan, now = PLANS["answer"], self.now()
        envelope = open_request(
            UserMessage(text=text),
            request=request,
            now=now,
            deadline=now + timedelta(seconds=60),
            conversation=conversation,
            workflow="answer",
            planversion=plan.version,
        )
        assert self.requests.accept(envelope)
        return self.published()[0]

    def gives_up(self, envelope: Envelope) -> None:
        """Leave the event of an agent in a dead letter, as the sweeper does."""
        state = ItemState(self.items, self.blobs, self.bus, self.now)

        def unbound(*_: object) -> object:
            raise AssertionError("no agent works here")

        ports = Ports(
            plans={plan.version: plan for plan in PLANS.values()},
            state=state,
            blobs=self.blobs,
            bind=unbound,
            now=self.now,
        )
        lost = Lost(reason="crashed", error="the [bold]index[/] is away", attempts=3)
        (agent,) = PLANS["answer"].nodes.keys() & {"orchestrator"}
        assert give_up(agent, encode(envelope), lost, ports).due is None


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with ministack(tmp_path_factory.mktemp("ministack")) as started:
        yield started


@pytest.fixture
def person(emulator: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulator:
    """Somebody whose credentials are in the environment, and nowhere else."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONTAINER_CREDENTIALS_FULL_URI"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name, value in emulator.environment.items():
        monkeypatch.setenv(name, value)
    return emulator


@pytest.fixture
def stack(person: Emulator, troupe: Troupe, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployment]:
    """One that the commands look after, since the environment names it."""
    del troupe  # which names none
    found = Deployment(person, f"troupe-ops{next(_numbers)}")
    monkeypatch.setenv("TROUPE_STACK", found.name)
    with closing(found.aws):
        yield found


def test_a_letter_of_a_stack_is_listed_and_shown_with_its_event(troupe: Troupe, stack: Deployment) -> None:
    stack.gives_up(stack.asks())
    (letter,) = troupe("dead-letters", "list", "--json").json()
    assert (letter["agent"], letter["reason"], letter["request"]) == ("orchestrator", "crashed", "r1")
    assert troupe("dead-letters", "list", "--agent", "planner", "--json").json() == []
    shown = troupe("dead-letters", "show", letter["key"], COLUMNS="300")
    for told in (letter["key"], "the [bold]index[/] is away", "UserMessage.v1", "How do I sort a list?"):
        assert told in shown.out


def test_a_large_event_is_shown_from_the_bucket(troupe: Troupe, stack: Deployment) -> None:
    stack.gives_up(stack.asks(LARGE[:60_000]))
    (letter,) = troupe("dead-letters", "list", "--json").json()
    assert troupe("dead-letters", "show", letter["key"], "--json").json()["event"]["data"]["text"] == LARGE[:60_000]


def test_a_redrive_publishes_the_event_for_its_agent_alone(troupe: Troupe, stack: Deployment) -> None:
    stack.gives_up(stack.asks())
    stack.published()  # that the agent failed
    ran = troupe("dead-letters", "redrive", "--everything", COLUMNS="300")
    assert ran.code == 0, ran.err
    assert f"The agents of {stack.name} are handed them now." in ran.out
    (event,) = stack.published()
    assert (event.name, event.target, event.generation) == ("UserMessage", "orchestrator", 1)
    assert troupe("dead-letters", "list", "--json").json() == []
    (letter,) = troupe("dead-letters", "list", "--all", "--json").json()
    again = troupe("dead-letters", "redrive", letter["key"], "--again", "--json").json()
    assert again["at_work"] == [stack.name]
    assert again["letters"][0]["published"]


def test_what_a_redrive_puts_off_waits_in_the_queue_of_its_agent(stack: Deployment) -> None:
    queue = make_queue(stack.emulator, f"{stack.name}-response-builder")
    later = msgspec.structs.replace(stack.asks(), target="response_builder")
    with stack_module.opened_stack(stack.name) as there:
        there._bus.publish_later(Timer(envelope=later, due=stack.now()))
    assert [decode(each["Body"].encode()) for each in received(stack.emulator, queue, 1)] == [later]


def test_a_letter_of_a_stack_is_dropped(troupe: Troupe, stack: Deployment) -> None:
    stack.gives_up(stack.asks())
    (letter,) = troupe("dead-letters", "list", "--json").json()
    refused = troupe("dead-letters", "drop", "--agent", "orchestrator")
    assert (refused.code, f"Drop 1 dead letters of {stack.name} for good" in refused.err) == (2, True)
    assert troupe("dead-letters", "drop", letter["key"]).out == "Dropped: 1.\n"
    assert troupe("dead-letters", "list", "--all", "--json").json() == []


def test_a_stop_holds_in_the_stack_until_it_is_resumed(troupe: Troupe, stack: Deployment) -> None:
    stops = ItemStops(stack.items)
    asked = {"tenant": "default", "conversation": "c1", "workflow": "answer"}
    made = troupe("stop", "--workflow", "answer", "--reason", "too dear", "--json").json()
    found = stops.found(**asked)
    assert found is not None
    assert (found.reason, found.by) == ("too dear", made["by"])
    assert troupe("stops", "--json").json() == [made]
    assert troupe("resume", "--workflow", "answer").out == "the workflow answer goes on.\n"
    assert stops.found(**asked) is None
    assert troupe("resume", "--workflow", "answer").code == 1


def in_doubt(stack: Deployment) -> None:
    """An effect of `r1`, sent eleven minutes ago, of which nobody knows what came of it."""
    ledger = ItemEffects(stack.items, stack.now, tenant="default")
    sent = Sent(method="POST", url="https://tickets.example.com", body="{}")
    at = stack.now() - timedelta(minutes=11)
    effect = Effect(key="e1", request="r1", conversation="c1", action="notify", status="sending", sent=sent, at=at)
    ledger.begin(effect, key_lasts_s=0)
    ledger.end("e1", "in doubt")


def test_an_effect_in_doubt_holds_a_redrive_up_until_a_person_settles_it(troupe: Troupe, stack: Deployment) -> None:
    stack.gives_up(stack.asks())
    in_doubt(stack)
    assert [each["status"] for each in troupe("effects", "list", "--json").json()] == ["in doubt"]
    refused = troupe("dead-letters", "redrive", "--everything", COLUMNS="300")
    assert (refused.code, "effect in doubt" in refused.out) == (1, True)
    assert troupe("effects", "settle", "e1", "--not-done").out == "The effect e1 of notify is not done.\n"
    assert troupe("dead-letters", "redrive", "--everything").code == 0


def bound_to(stack: Deployment, envelope: Envelope) -> Binding:
    """A delivery of a request."""
    return Binding(
        tenant="default",
        conversation=envelope.conversation,
        request=envelope.request,
        key="k",
        origin="k",
        agent="orchestrator",
        attempt=1,
        until=stack.now() + timedelta(seconds=60),
        budget=Budget(),
    )


def test_a_conversation_of_a_stack_is_listed_shown_exported_and_erased(troupe: Troupe, stack: Deployment) -> None:
    ItemTalk(stack.items, stack.now, bound_to(stack, stack.asks())).append("user", "I like tea")
    (listed,) = troupe("conversations", "list", "--json").json()
    assert (listed["conversation"], listed["items"]["messages"]) == ("c1", 1)
    assert "user: I like tea" in troupe("conversations", "show", "c1").out
    assert troupe("conversations", "export", "c1").json()["places"]["messages"][0]["text"] == "I like tea"
    refused = troupe("conversations", "erase", "c1")
    assert (refused.code, f"Erase c1 of {stack.name} for good" in refused.err) == (2, True)
    erased = troupe("conversations", "erase", "c1", "--yes")
    assert erased.code == 0, erased.err
    assert erased.out.startswith("Erased c1: ")
    assert troupe("conversations", "list", "--json").json() == []
    assert read(stack.items, keys.request("default", "r1"))[0] is None


class Shelf:
    """The collections, as the functions of a stack reach them."""

    def __init__(self, memories: MemoryCollection) -> None:
        self._memories = memories

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        assert collection == self._memories.key
        self._memories.erase(ids, tenant=tenant)


def test_what_is_in_collections_is_erased_by_the_stack_itself(troupe: Troupe, stack: Deployment) -> None:
    bound, memories = bound_to(stack, stack.asks()), MemoryCollection()
    stores = TenantUpsert(memories, "default", Time(bound.until, stack.now))
    upsert = ItemUpsert(stack.items, stores, collection=memories, binding=bound, now=stack.now)
    upsert.upsert([Passage(id="f", name="remembered", source="memory", text="tea")])
    erased = troupe("conversations", "erase", "c1", "--yes")
    assert (erased.code, "1 memories" in erased.out) == (0, True), erased.err
    assert f"the keeper of {stack.name} removes" in erased.out
    assert troupe("conversations", "show", "c1").code == 1, "from now on it is not shown"
    assert memories.read(["f"], tenant="default")

    crews = {name: crew_of(plan) for name, plan in PLANS.items()}
    assert ItemRights(stack.items, stack.blobs, Shelf(memories), lambda: crews, stack.now).unfinished() == 1
    assert not memories.read(["f"], tenant="default")
    again = troupe("conversations", "erase", "c1", "--yes")
    assert (again.code, again.out.startswith("c1 was erased before; ")) == (0, True)


def test_collections_of_a_stack_are_looked_at(troupe: Troupe, stack: Deployment) -> None:
    catalog = ItemCatalog(stack.items, f"pinecone:{stack.name}", stack.now)
    create(catalog, "documents", Model(), ttl_s=None, now=stack.now())
    (listed,) = troupe("collections", "list", "--json").json()
    assert (listed["name"], listed["versions"][0]["layout"]["encoder"]) == ("documents", Model.version)
    assert troupe("collections", "status", "documents", "--json").json() == listed
    unknown = troupe("collections", "status", "nothing")
    assert (unknown.code, "nothing" in unknown.err) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("create", "notes"),
        ("migrate", "notes", "--encoder", "minilm"),
        ("evaluate", "notes"),
        ("switch", "notes"),
        ("rollback", "notes"),
        ("drop", "notes", "1", "--yes"),
        ("rebalance",),
    ],
)
def test_what_a_command_cannot_do_to_a_stack_is_refused_with_what_to_do(
    troupe: Troupe, arguments: tuple[str, ...]
) -> None:
    ran = troupe("collections", *arguments, TROUPE_STACK="troupe-dev")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "deploy a second stack" in ran.err


def test_all_vector_stores_that_a_stack_may_have_are_looked_into() -> None:
    assert set(stack_module.PRODUCTS) == set(get_args(get_type_hints(VectorSettings)["store"]))


@pytest.mark.usefixtures("person")
@pytest.mark.parametrize(
    "command", [("dead-letters", "list"), ("stops",), ("effects", "list"), ("conversations", "list")]
)
def test_a_stack_that_is_not_there_is_said_with_where_it_was_looked_for(
    troupe: Troupe, command: tuple[str, ...]
) -> None:
    ran = troupe(*command, "--stack", "troupe-nothing")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert f"the account {ACCOUNT} in us-east-1 has no stack troupe-nothing" in ran.err


def test_who_may_not_is_told_what_a_role_needs(
    troupe: Troupe, stack: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: object, **__: object) -> object:
        raise AwsError("dynamodb", "AccessDeniedException", "no identity-based policy allows it", 400)

    monkeypatch.setattr(Aws, "call", refused)
    ran = troupe("dead-letters", "list")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert f"you may not do this to {stack.name}" in ran.err
    assert "`troupe explain operator --aws`" in ran.err


def test_a_name_that_no_stack_has_is_wrong_usage(troupe: Troupe) -> None:
    ran = troupe("stops", "--stack", "dev")
    assert (ran.code, "e.g. troupe-dev" in ran.err) == (2, True)


@pytest.mark.usefixtures("person")
def test_who_has_no_credentials_is_told_how_to_get_some(troupe: Troupe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    ran = troupe("stops", "--stack", "troupe-dev")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "no credentials of AWS" in ran.err
    assert "AWS_PROFILE" in ran.err


@pytest.mark.usefixtures("person")
def test_who_names_no_region_or_no_known_profile_is_told_so(troupe: Troupe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    assert "no region of AWS: set AWS_REGION" in troupe("stops", "--stack", "troupe-dev").err
    ran = troupe("stops", "--stack", "troupe-dev", AWS_PROFILE="nobody")
    assert (ran.code, "nobody" in ran.err) == (1, True)


def test_without_boto3_the_group_that_has_it_is_named(troupe: Troupe, monkeypatch: pytest.MonkeyPatch) -> None:
    found = builtins.__import__

    def imported(name: str, *rest: Any, **more: Any) -> object:
        if name == "boto3":
            raise ModuleNotFoundError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", imported)
    ran = troupe("stops", "--stack", "troupe-dev")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "uv sync --group aws" in ran.err
