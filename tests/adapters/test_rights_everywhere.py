"""What is held about a conversation, on every target that can run here: shown, handed over, and erased for good."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol

import msgspec
import pytest
from harness import Harness
from memory_collection import MemoryCollection
from memory_items import MemoryItems
from memory_target import MemoryTarget
from redriving import Driven, find, redrive
from sample_workflows import FANNED_WITH_SIDE, FORKED, SINGLE, Answered, Asked, ListAsked, Looked

from functions.adapters.items import keys
from functions.adapters.items.holding import ItemUpsert
from functions.adapters.items.requests import SETTLES
from functions.adapters.items.rights import ItemRights
from functions.adapters.local.conversations import LocalAppend
from functions.adapters.local.erasing import Erasures
from functions.adapters.local.holding import Holding, LocalUpsert
from functions.adapters.local.places import PLACES
from functions.adapters.local.rights import LocalRights
from functions.adapters.vectors.bound import TenantUpsert, Time
from functions.errors import PermanentError
from functions.events.common import Passage
from functions.events.envelope import CLAIM_CHECK_BYTES, encode
from functions.events.event import Event
from functions.ports.blobs import prefix_of
from functions.ports.conversations import Append
from functions.ports.rights import Holdings, Rights
from functions.ports.vectors import Upsert
from functions.runtime.arrival import claim_checked
from functions.runtime.dead_letters import fallen
from functions.runtime.delivery import Binding
from functions.runtime.plans import Crew, crew_in, crew_of, frozen
from functions.runtime.workflow import Budget, Workflow

LARGE = "x" * (CLAIM_CHECK_BYTES + 1)
FACT = Passage(id="f", name="remembered", source="memory", text="a fact")
WORKFLOWS = [(SINGLE, Asked(text="a")), (FANNED_WITH_SIDE, ListAsked(texts=("a", "b"))), (FORKED, Looked())]


class Held(Protocol):
    """A target whose conversations hold something."""

    memories: MemoryCollection

    @property
    def troupe(self) -> Driven:
        """What delivers."""

    @property
    def rights(self) -> Rights:
        """What is tested here."""

    def talk(self, bound: Binding) -> Append:
        """What a delivery says something with."""

    def upsert(self, bound: Binding) -> Upsert:
        """What a delivery stores passages with."""

    def finish(self) -> None:
        """What the target does in the background after an erasure."""

    def left(self) -> list[str]:
        """What is kept about any conversation, blobs included."""

    def close(self) -> None:
        """Leave nothing open."""


class Shelf:
    """The collections: one, in memory."""

    def __init__(self, memories: MemoryCollection) -> None:
        self._memories = memories

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        assert collection == self._memories.key
        self._memories.erase(ids, tenant=tenant)


def stores(memories: MemoryCollection, bound: Binding) -> TenantUpsert:
    return TenantUpsert(memories, bound.tenant, Time(bound.until, lambda: bound.until - timedelta(seconds=1)))


class LocalHeld:
    """One machine."""

    def __init__(self, folder: Path, *workflows: Workflow) -> None:
        self.troupe = Harness(folder, *workflows)
        self.memories = MemoryCollection()
        self.rights = LocalRights(self.troupe.store, self.troupe.blobs, self.troupe.clock)
        self._holding = Holding(self.troupe.store, self.troupe.clock)

    def talk(self, bound: Binding) -> Append:
        return LocalAppend(self.troupe.store, self.troupe.clock, bound)

    def upsert(self, bound: Binding) -> Upsert:
        return LocalUpsert(self._holding, stores(self.memories, bound), self.memories.key, bound)

    def finish(self) -> None:
        assert Erasures(self.troupe.store, self.troupe.blobs, self._holding, Shelf(self.memories)).finish()

    def left(self) -> list[str]:
        counts = {place.table: f"SELECT count(*) FROM {place.table}" for place in PLACES}  # noqa: S608 - of the table
        rows = [table for table, query in counts.items() if self.troupe.store.read(query)[0][0]]
        return [*rows, *self.troupe.blobs.keys("")]

    def close(self) -> None:
        self.troupe.close()


class CloudHeld:
    """Items and blobs."""

    def __init__(self, folder: Path, *workflows: Workflow, step: Callable[[str], None] = lambda _step: None) -> None:
        del folder
        self.troupe = MemoryTarget(*workflows, step=step)
        self.memories = MemoryCollection()
        self.rights: ItemRights = self.troupe.rights(Shelf(self.memories))

    def talk(self, bound: Binding) -> Append:
        return self.troupe.talk(bound)

    def upsert(self, bound: Binding) -> Upsert:
        return ItemUpsert(
            self.troupe.items,
            stores(self.memories, bound),
            collection=self.memories,
            binding=bound,
            now=self.troupe.clock,
        )

    def finish(self) -> None:
        self.rights.unfinished()
        self.troupe.clock.advance(SETTLES.total_seconds())
        self.rights.unfinished()
        assert self.rights.unfinished() == 0
        self.troupe.items.expire(self.troupe.clock())

    def left(self) -> list[str]:
        """Without what says for a while that a request was erased: its name, which is a digest."""
        items = [
            f"{partition} {key}"
            for partition, kept in self.troupe.items.partitions.items()
            for key in kept
            if key != "erased"
        ]
        return [*items, *self.troupe.blobs.stored]

    def close(self) -> None:
        """Nothing is open."""


Holds = Callable[..., Held]


@pytest.fixture(params=[LocalHeld, CloudHeld], ids=["sqlite", "memory"])
def holds(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Holds]:
    """Opens a target over workflows."""
    opened: list[Held] = []

    def opening(*workflows: Workflow) -> Held:
        opened.append(request.param(tmp_path / str(len(opened)), *workflows))
        return opened[-1]

    yield opening
    for each in opened:
        each.close()


def binding(held: Held, conversation: str = "c1", request: str = "r1") -> Binding:
    return Binding(
        tenant="default",
        conversation=conversation,
        request=request,
        key=f"k of {conversation}",
        origin=f"k of {conversation}",
        agent="work",
        attempt=1,
        until=held.troupe.clock() + timedelta(seconds=30),
        budget=Budget(),
    )


def fill(held: Held) -> None:
    """Something of a conversation in every place that is its own: a large answer, a letter, a message, a memory."""
    troupe = held.troupe
    troupe.script.failures["handle b"] = [PermanentError("qzxmark")]
    first = troupe.opened(ListAsked(texts=("a", "b", f"qzxmark {LARGE}")))
    troupe.requests.accept(claim_checked(first, troupe.blobs))
    troupe.run()
    held.talk(binding(held)).append("user", "qzxmark")
    held.upsert(binding(held)).upsert([FACT])
    redrive(troupe)
    troupe.run()


def test_what_is_held_is_counted_by_place_and_found_by_name(holds: Holds) -> None:
    held = holds(FANNED_WITH_SIDE)
    held.troupe.start(ListAsked(texts=("a", "b")))
    held.troupe.run()
    held.talk(binding(held)).append("user", "hello")
    found = held.rights.holdings("c1", tenant="default")
    assert found is not None
    assert (found.items["messages"], found.items["requests"]) == (1, 1)
    assert found.items["deliveries"] == len(held.troupe.requests.deliveries("r1", tenant="default"))
    assert [each.conversation for each in held.rights.conversations(tenant="default")] == ["c1"]


def test_another_tenants_conversation_of_the_same_name_is_not_there_and_stays(holds: Holds) -> None:
    held = holds(SINGLE)
    held.troupe.start(Asked(text="theirs"), tenant="acme")
    held.troupe.run()
    assert held.rights.holdings("c1", tenant="default") is None
    assert held.rights.export("c1", tenant="default") is None
    assert held.rights.erase("c1", tenant="default") is None
    assert held.rights.conversations(tenant="default") == []
    assert held.rights.holdings("c1", tenant="acme") is not None


def test_an_export_has_everything_with_its_events_and_the_data_of_its_blobs(holds: Holds) -> None:
    held = holds(FANNED_WITH_SIDE)
    fill(held)
    export = held.rights.export("c1", tenant="default")
    assert export is not None
    assert [row["text"] for row in export.places["messages"]] == ["qzxmark"]
    assert [row["passage"]["text"] for row in export.places["memories"]] == ["a fact"]
    assert [row["event"]["type"] for row in export.places["dead letters"]] == ["Piece.v1"]
    assert any(LARGE in str(data) for data in export.blobs.values())
    msgspec.json.encode(export)


def test_an_erased_conversation_leaves_nothing_in_any_place(holds: Holds) -> None:
    held = holds(FANNED_WITH_SIDE)
    fill(held)
    erased = held.rights.erase("c1", tenant="default")
    assert erased is not None
    assert erased.items.keys() >= {"messages", "memories", "dead letters", "deliveries", "requests", "parts", "blobs"}
    assert held.rights.holdings("c1", tenant="default") is None
    assert held.rights.conversations(tenant="default") == []
    assert find(held.troupe, redriven=True) == []
    assert held.troupe.requests.view("r1", tenant="default") is None
    held.finish()
    assert held.left() == []
    assert held.memories.points == {}


@pytest.mark.parametrize(("workflow", "event"), WORKFLOWS, ids=[each.name for each, _ in WORKFLOWS])
def test_whatever_is_at_work_or_waits_brings_nothing_back(holds: Holds, workflow: Workflow, event: Event) -> None:
    """Erased while the n-th agent is at work, for every n; then everything that anybody still has is delivered."""
    number, erased = 0, True
    while erased:
        number += 1
        held = holds(workflow)
        erased = _erased_at(held, event, number)
        if erased:
            held.finish()
            assert held.left() == []
    assert number > 1


def _erased_at(held: Held, event: Event, number: int) -> bool:
    calls: list[str] = []
    found: list[Holdings | None] = []

    def meanwhile() -> None:
        calls.append("")
        if len(calls) == number:
            found.append(held.rights.erase("c1", tenant="default"))

    held.troupe.script.meanwhile = meanwhile
    held.troupe.start(event)
    held.troupe.run()
    return bool(found)


def test_an_event_that_somebody_has_in_hand_is_not_begun(holds: Holds) -> None:
    held = holds(FANNED_WITH_SIDE)
    troupe = held.troupe
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    taken = [troupe.hold("handle"), troupe.hold("handle")]
    held.rights.erase("c1", tenant="default")
    for each in taken:
        outcome = troupe.deliver(each)  # type: ignore[arg-type]  # of the same target
        assert outcome is None or outcome.action == "acknowledge"
    assert not any("handle" in call for call in troupe.script.calls)
    held.finish()
    assert held.left() == []


def test_events_and_parts_that_come_when_all_is_removed_leave_nothing(holds: Holds) -> None:
    held = holds(FANNED_WITH_SIDE)
    troupe = held.troupe
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.step("handle")
    taken = [troupe.hold("handle"), troupe.hold("collect"), troupe.hold("note")]
    held.rights.erase("c1", tenant="default")
    held.finish()
    for each in taken:
        troupe.deliver(each)  # type: ignore[arg-type]  # of the same target
    assert held.left() == []


def test_an_agent_still_at_work_says_and_stores_nothing(holds: Holds) -> None:
    held = holds(SINGLE)
    held.troupe.start(Asked())
    held.rights.erase("c1", tenant="default")
    held.talk(binding(held)).append("user", "late")
    held.upsert(binding(held)).upsert([FACT])
    assert held.memories.points == {}
    held.finish()
    held.talk(binding(held)).append("user", "later still")
    assert held.left() == []


def test_the_same_conversation_may_begin_again_and_is_no_part_of_the_erasure(holds: Holds) -> None:
    held = holds(FANNED_WITH_SIDE)
    fill(held)
    held.rights.erase("c1", tenant="default")
    held.troupe.clock.advance(1.0)
    for request in ("r1", "r2"):
        held.troupe.start(ListAsked(texts=(LARGE,)), request=request)
    held.troupe.run()
    held.talk(binding(held, request="r2")).append("user", "anew")
    held.finish()
    assert held.troupe.view("r1").status == held.troupe.view("r2").status == "settled"
    assert held.troupe.settlement("r2") == Answered(texts=(LARGE.upper(),))
    found = held.rights.holdings("c1", tenant="default")
    assert found is not None
    assert (found.items["requests"], found.items["messages"]) == (2, 1)


def test_other_conversations_go_on(holds: Holds) -> None:
    held = holds(SINGLE)
    held.troupe.start(Asked())
    held.troupe.start(Asked(text="b"), request="r2", conversation="c2")
    held.rights.erase("c1", tenant="default")
    held.troupe.run()
    assert held.troupe.requests.view("r1", tenant="default") is None
    assert held.troupe.view("r2").status == "settled"


def test_blobs_are_found_by_their_key_also_where_nothing_refers_to_them(holds: Holds) -> None:
    held = holds(SINGLE)
    mine = claim_checked(held.troupe.opened(Asked(text=LARGE)), held.troupe.blobs)  # a crash came before it was taken
    other = claim_checked(held.troupe.opened(Asked(text=LARGE), conversation="c2"), held.troupe.blobs)
    assert mine.dataref.startswith(prefix_of("default", "c1"))
    erased = held.rights.erase("c1", tenant="default")
    assert erased is not None
    assert erased.items == {"blobs": 1}
    held.finish()
    assert held.left() == [other.dataref]


def test_a_memory_of_two_conversations_stays_until_the_last_is_erased(holds: Holds) -> None:
    held = holds(SINGLE)
    for name in ("c1", "c2"):
        held.troupe.start(Asked(), request=f"of {name}", conversation=name)
        own = msgspec.structs.replace(FACT, id=f"only {name}")
        held.upsert(binding(held, name, f"of {name}")).upsert([FACT, own])
    held.rights.erase("c1", tenant="default")
    held.finish()
    assert {point for _, point in held.memories.points} == {"f", "only c2"}
    held.rights.erase("c2", tenant="default")
    held.finish()
    assert held.memories.points == {}


def test_a_repeat_says_that_it_was_erased_until_all_is_clean_and_then_that_nothing_is_held(holds: Holds) -> None:
    held = holds(SINGLE)
    held.troupe.start(Asked())
    first, again = held.rights.erase("c1", tenant="default"), held.rights.erase("c1", tenant="default")
    assert first is not None
    assert first.items["requests"] == 1
    assert again == Holdings(conversation="c1", items={})
    held.finish()
    assert held.rights.erase("c1", tenant="default") is None


def test_over_items_a_request_goes_first_so_that_whoever_stores_for_it_sees_it_gone(tmp_path: Path) -> None:
    steps: list[str] = []
    held = CloudHeld(tmp_path, FANNED_WITH_SIDE, step=steps.append)
    fill(held)
    before = len(steps)
    held.rights.erase("c1", tenant="default")
    assert next(step for step in steps[before:] if step.startswith("before delete")) == "before delete request"


class CrashError(BaseException):
    """The function ends here."""


class Crashing:
    """Ends the function at the n-th write from when it is armed."""

    def __init__(self) -> None:
        self.left = 0

    def __call__(self, step: str) -> None:
        del step
        if self.left:
            self.left -= 1
            if not self.left:
                raise CrashError


def test_an_erasure_over_items_that_was_cut_off_at_any_write_is_finished_by_the_sweep(tmp_path: Path) -> None:
    number, cut_off = 0, True
    while cut_off:
        number += 1
        crashing = Crashing()
        held = CloudHeld(tmp_path, FANNED_WITH_SIDE, step=crashing)
        fill(held)
        crashing.left, cut_off, begun = number, True, False
        with suppress(CrashError):
            held.rights.erase("c1", tenant="default")
            cut_off = False
        crashing.left = 0
        begun = held.rights.unfinished() > 0
        if cut_off and not begun:
            held.rights.erase("c1", tenant="default")  # it was cut off before anything was written
        assert held.rights.holdings("c1", tenant="default") is None
        held.finish()
        assert (held.left(), held.memories.points) == ([], {})
    assert number > 50


def crewed(held: CloudHeld, crews: Mapping[str, Crew], *, services: Sequence[str] = ()) -> ItemRights:
    """Rights over items of a stack that has or had these agents."""
    troupe, shelf = held.troupe, Shelf(held.memories)
    return ItemRights(troupe.items, troupe.blobs, shelf, lambda: crews, troupe.clock, services=services)


def test_what_an_agent_kept_that_a_deploy_removed_is_shown_and_erased(tmp_path: Path) -> None:
    held = CloudHeld(tmp_path, FANNED_WITH_SIDE)
    fill(held)
    (before,) = held.troupe.plans.values()
    now = msgspec.structs.replace(before, nodes={name: before.nodes[name] for name in ("split", "collect")})
    old = crew_in(frozen(before))
    held.rights = crewed(held, {now.workflow.name: crew_of(now) | old})
    export = held.rights.export("c1", tenant="default")
    assert export is not None
    assert "dead letters" in export.places
    held.rights.erase("c1", tenant="default")
    held.finish()
    assert held.left() == []


def test_what_a_request_left_whose_workflow_is_not_known_any_more_is_erased(tmp_path: Path) -> None:
    held = CloudHeld(tmp_path, FANNED_WITH_SIDE)
    fill(held)
    crews = {name: crew_of(plan) for name, plan in held.troupe.plans.items()}
    held.troupe.items.delete([keys.request("default", "r1")])  # e.g. since it expired
    held.rights = crewed(held, crews)
    held.rights.erase("c1", tenant="default")
    held.finish()
    assert held.left() == []


def test_a_letter_that_a_service_kept_is_the_conversations_that_its_event_is_of(tmp_path: Path) -> None:
    held = CloudHeld(tmp_path, SINGLE)
    first = held.troupe.start(Asked(text="qzxmark"))
    crews = {name: crew_of(plan) for name, plan in held.troupe.plans.items()}
    held.rights = crewed(held, crews, services=("desk",))
    letter = fallen("desk", encode(first), PermanentError("it fell"), held.troupe.clock())
    held.troupe.state().park(letter)
    found = held.rights.holdings("c1", tenant="default")
    assert found is not None
    assert found.items["dead letters"] == 1
    held.rights.erase("c1", tenant="default")
    held.troupe.state().park(letter)  # it falls once more
    held.finish()
    assert held.left() == []


class TimeIsUpError(BaseException):
    """The function's time is over."""


class Counting:
    """Counts the calls of items, and ends the function at one."""

    def __init__(self, items: MemoryItems) -> None:
        self._items = items
        self.calls: list[str] = []
        self.most = 1_000_000

    def __getattr__(self, name: str) -> object:
        call = getattr(self._items, name)

        def counted(*given: Any, **named: Any) -> object:
            if len(self.calls) == self.most:
                raise TimeIsUpError
            self.calls.append(f"{name} {given[0][1]}" if name == "put" else name)
            return call(*given, **named)

        return counted


def large(tmp_path: Path, requests: int) -> tuple[CloudHeld, Counting]:
    """A conversation of many requests, in a stack that has other workflows with other agents beside its own."""
    held = CloudHeld(tmp_path, SINGLE)
    for number in range(requests):
        held.troupe.start(Asked(text="qzxmark"), request=f"r{number}")
        held.troupe.run()
    counting = Counting(held.troupe.items)
    others = {f"other {number}": Crew(frozenset({f"agent {number}"})) for number in range(20)}
    crews = {name: crew_of(plan) for name, plan in held.troupe.plans.items()} | others
    held.rights = crewed(held, crews)
    held.rights._items = counting  # type: ignore[assignment]
    return held, counting


def test_an_erasure_is_written_down_before_anything_else_and_costs_no_more_for_agents_of_others(tmp_path: Path) -> None:
    held, counting = large(tmp_path, 30)
    held.rights.erase("c1", tenant="default")
    assert counting.calls[:4] == ["get", "query", "get", "put erasing"]
    assert len(counting.calls) <= 30 * 12 + 60


def test_an_erasure_that_never_has_the_time_for_all_of_it_gets_done(tmp_path: Path) -> None:
    held, counting = large(tmp_path, 30)
    rounds, over = 0, False
    erase: Callable[[], object] = lambda: held.rights.erase("c1", tenant="default")  # noqa: E731
    while not over:
        rounds, counting.most = rounds + 1, len(counting.calls) + 100
        try:
            erase()
            over = True
        except TimeIsUpError:
            erase = held.rights.unfinished
        assert rounds < 20
        assert held.rights._items is counting
    assert rounds > 2
    counting.most = 1_000_000
    held.finish()
    assert held.left() == []


def test_an_erasure_that_fails_holds_up_no_other(tmp_path: Path) -> None:
    held = CloudHeld(tmp_path, SINGLE)
    for name in ("c1", "c2"):
        held.troupe.start(Asked(), request=f"of {name}", conversation=name)
        held.rights.erase(name, tenant="default")
        held.troupe.clock.advance(1.0)
    remove = held.troupe.blobs.keys

    def refuse(*prefixes: str) -> Sequence[str]:
        if prefixes == (prefix_of("default", "c1"),):
            raise PermanentError("not now")
        return remove(*prefixes)

    held.troupe.blobs.keys = refuse  # type: ignore[method-assign]
    held.troupe.clock.advance(SETTLES.total_seconds())
    for _ in range(2):  # it comes again with each round
        with pytest.raises(PermanentError):
            held.rights.unfinished()
    held.troupe.blobs.keys = remove  # type: ignore[method-assign]
    assert held.rights.erase("c2", tenant="default") is None
    held.finish()
    assert held.left() == []
