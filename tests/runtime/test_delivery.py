"""What `deliver` and the store of one machine do that no other target need do alike.

What every target guarantees is in tests/conformance.
"""

import math
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from faults import ShutdownError, down
from harness import START, Harness
from sample_workflows import (
    FANNED,
    FANNED_WITH_SIDE,
    LOG,
    SINGLE,
    Answered,
    Asked,
    ListAsked,
    Piece,
    collect,
    handle,
)

from functions.adapters.local.blobs import LocalBlobs
from functions.adapters.local.bus import DEADLINE
from functions.adapters.local.state import LocalState
from functions.adapters.local.store import Store
from functions.errors import PermanentError
from functions.events.envelope import CLAIM_CHECK_BYTES, Envelope, decode, encode, open_request
from functions.events.event import AgentFailed, Event
from functions.ports.state import Begun, Finish, Gathered, Part, State, Task
from functions.runtime.agent import agent
from functions.runtime.arrival import claim_checked, claimed, delivery_key
from functions.runtime.dead_letters import given_up
from functions.runtime.workflow import Workflow

Opens = Callable[..., Harness]


# ---------------------------------------------------------------------------------------------- odd errors


def test_an_error_that_no_store_could_hold_is_given_up_all_the_same(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [PermanentError("no file \ud800" + "x" * 5000, reason="unreadable")]
    troupe.start(Asked(text="a"))
    troupe.run()
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert failed.reason.startswith("no file ?xxx")
    assert len(failed.reason) == 1000


# ------------------------------------------------------------------------------------- what cannot be read


def test_a_request_finishes_under_the_plan_that_arrives_with_the_deploy(process: Opens) -> None:
    old = process(msgspec.structs.replace(SINGLE, name="other"))
    new = Harness(old.folder.parent / "aside", SINGLE)
    envelope = new.opened(Asked(text="a"))
    new.store.close()
    old.requests.accept(msgspec.structs.replace(envelope, target="work"))
    assert old.step("work").action == "retry"
    deployed = old.restarted(SINGLE)
    deployed.run()
    assert deployed.settlement() == Answered(texts=("a, attempt 2",))
    deployed.store.close()


# ---------------------------------------------------------------------------------------------------- once


def test_a_stale_attempt_that_gives_up_does_not_end_what_another_works_on(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    raw = troupe.raw(entry)

    def take_over_and_be_overtaken() -> None:
        troupe.clock.advance(16)
        troupe.script.during["work a"] = let_the_stale_one_give_up
        troupe.deliver_again(entry, raw)

    def let_the_stale_one_give_up() -> None:
        stale = troupe.ports(entry.receipt).state
        assert isinstance(stale, LocalState)
        stale._attempt = 1
        envelope = decode(raw)
        task = Task(key=delivery_key(envelope, "work"), agent="work", envelope=envelope, lease_s=15.0)
        error = PermanentError("too late")
        stale.finish(Finish(task=task, letter=given_up(task, "permanent error", error, 1, troupe.clock())))
        assert troupe.letters() == []

    troupe.script.during["work a"] = take_over_and_be_overtaken
    troupe.deliver(entry)
    assert troupe.settlement() == Answered(texts=("a, attempt 2",))
    assert troupe.letters() == []


def test_an_agent_that_exits_is_tried_again_like_one_that_raises(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [SystemExit(3), None]
    troupe.start(Asked(text="a"))
    outcome = troupe.step("work")
    assert outcome is not None
    assert outcome.action == "retry"
    assert "sys.exit(3)" in outcome.error
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 2",))


def test_a_deadline_that_cannot_be_read_becomes_a_dead_letter_and_stops_no_other(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="a"), deadline_s=5)
    troupe.take("work")  # by a worker that never comes back
    garbage = "INSERT INTO queue (envelope_id, generation, agent, priority, due, envelope) VALUES (?, 0, ?, ?, 0, ?)"
    troupe.store.write(lambda connection: connection.execute(garbage, ("x", DEADLINE, "urgent", b"garbage")))
    again = troupe.restarted()
    again.clock.advance(6)
    again.run_due()
    assert isinstance(again.settlement(), AgentFailed)
    assert again.letters() == [(DEADLINE, "malformed envelope")]
    again.store.close()


def test_a_port_that_fails_gives_the_lease_back(process: Opens) -> None:
    troupe = process(SINGLE)
    envelope = troupe.start(Asked(text="a"))
    state = troupe.ports(troupe.take("work").receipt).state
    assert isinstance(state, LocalState)
    task = Task(key=delivery_key(envelope, "work"), agent="work", envelope=envelope, lease_s=15.0)
    assert state.begin(task).status == "leased"
    state.abandon()
    assert state.begin(task).status == "leased"


# --------------------------------------------------------------------------------------------------- joins


def test_a_join_sorts_the_parts_of_a_store_that_does_not(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.step("split")
    for _ in range(3):
        troupe.step("handle")
    for _ in range(3):
        troupe.deliver(troupe.take("collect"), _Reversing)
    assert troupe.settlement() == Answered(texts=("A", "B", "C"))


class _Reversing:
    """A state store that returns parts as they come."""

    def __init__(self, state: State) -> None:
        self._state = state

    def __getattr__(self, name: str) -> object:
        return getattr(self._state, name)

    def gather(self, part: Part) -> Gathered | None:
        found = self._state.gather(part)
        return found and Gathered(generation=found.generation, parts=list(reversed(found.parts)))


def test_the_timer_of_a_completed_join_is_removed(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a",)))
    troupe.run_due()
    assert troupe.bus.depth() == 0


def test_outputs_that_a_dead_attempt_stored_are_published_and_its_agent_is_not_called(process: Opens) -> None:
    troupe = process(SINGLE)
    first = troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    stored = msgspec.structs.replace(
        first, id="o", source="work", type="Answered.v1", data=msgspec.Raw(b'{"texts":["stored"]}')
    )
    troupe.deliver(entry, lambda state: _Remembering(state, stored))
    assert troupe.settlement() == Answered(texts=("stored",))
    assert troupe.script.calls == []


class _Remembering:
    """A state store that found outputs of an earlier attempt, as a cloud's may; locally one commit does both."""

    def __init__(self, state: State, stored: Envelope) -> None:
        self._state = state
        self._stored = stored

    def __getattr__(self, name: str) -> object:
        return getattr(self._state, name)

    def begin(self, task: Task) -> Begun:
        return msgspec.structs.replace(self._state.begin(task), outputs=(self._stored,))


# ----------------------------------------------------------------------------------------------- outputs


class OddAsked(Event):
    kind: str


class Weighed(Event):
    weight: float
    names: tuple[str, ...] = ()


class Other(Event):
    text: str = ""


ODD: dict[str, Callable[[], object]] = {
    "nan": lambda: Weighed(weight=math.nan),
    "text for a number": lambda: Weighed(weight="heavy"),
    "number in a text": lambda: Weighed(weight=1.0, names=(1,)),
    "what JSON has not": lambda: Weighed(weight=object()),
    "surrogate": lambda: Weighed(weight=1.0, names=("\ud800",)),
    "another event": Other,
    "a list": lambda: [Weighed(weight=1.0)],
    "nothing": lambda: None,
    "a number": lambda: 5,
    "a text": lambda: "weighed",
    "a class": lambda: Weighed,
}
ODD_LISTS: dict[str, Callable[[], object]] = {
    "one wrong item": lambda: [Piece(text="a"), Other()],
    "None in it": lambda: [Piece(text="a"), None],
    "an event": lambda: Piece(text="a"),
    "a generator": lambda: (Piece(text=text) for text in "ab"),
    "a text": lambda: "ab",
    "a number": lambda: 7,
    "a wrong field": lambda: [Piece(text=5)],
}


@agent()
def weigh(event: OddAsked) -> Weighed:
    return ODD[event.kind]()


@agent()
def split_oddly(event: OddAsked) -> list[Piece]:
    return ODD_LISTS[event.kind]()


WEIGHING = Workflow(name="weighing", agents=(weigh,), entry=OddAsked, answer=Weighed)
SPLITTING = Workflow(
    name="splitting", agents=(split_oddly, handle, collect), entry=OddAsked, answer=Answered, resources=LOG
)


@pytest.mark.parametrize(
    ("workflow", "kind"),
    [*((WEIGHING, kind) for kind in ODD), *((SPLITTING, kind) for kind in ODD_LISTS)],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_a_wrong_output_is_given_up_at_once_and_never_published(process: Opens, workflow: Workflow, kind: str) -> None:
    troupe = process(workflow)
    troupe.start(OddAsked(kind=kind))
    troupe.run_due()
    assert [reason for _, reason in troupe.letters()] == ["wrong output"]
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert "returned" in failed.reason
    assert troupe.bus.depth() == 0


# ------------------------------------------------------------------------------------------ large and later


def test_a_large_part_of_another_producer_is_kept_outside_the_join(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.step("handle")
    part = troupe.take("collect")
    large = encode(
        msgspec.structs.replace(decode(troupe.raw(part)), data=msgspec.Raw(b'{"text":"%s"}' % (b"x" * 50_000)))
    )
    troupe.deliver_again(part, large)
    assert len(troupe.store.read("SELECT envelope FROM part")[0][0]) < 2000
    troupe.run()
    assert troupe.settlement() == Answered(texts=("x" * 50_000, "B"))


def test_a_stale_attempt_cannot_change_large_data_that_was_published(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path)
    first, second = (
        claim_checked(_blank(data=msgspec.Raw(b'"%s"' % (letter * CLAIM_CHECK_BYTES))), blobs)
        for letter in (b"a", b"b")
    )
    assert first.id == second.id
    assert claimed(first, blobs).data != claimed(second, blobs).data


def _blank(**changes: object) -> Envelope:
    blank = open_request(
        Asked(), workflow="w", planversion="p", conversation="c", request="r", now=START, deadline=START
    )
    return msgspec.structs.replace(blank, **changes)


# -------------------------------------------------------------------------------- priorities and restarts


def test_a_high_priority_is_delivered_first(process: Opens) -> None:
    troupe = process(SINGLE)
    for priority in ("low", "normal", "high"):
        troupe.start(Asked(text=priority), request=priority, conversation=priority, priority=priority)
    troupe.run()
    assert troupe.script.calls == ["work high", "work normal", "work low"]


def test_a_restart_picks_up_what_was_in_flight(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.step("handle")
    troupe.step("collect")
    again = troupe.restarted()
    again.run()
    assert again.settlement() == Answered(texts=("A", "B"))
    assert again.script.calls == ["handle b", "collect"]
    again.store.close()


def test_the_leases_of_a_dead_process_are_void_and_its_attempts_count(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.script.failures["work a"] = [ShutdownError()]
    troupe.start(Asked(text="a"))
    with pytest.raises(ShutdownError):
        troupe.step("work")
    assert len(troupe.leases()) == 1
    again = troupe.restarted()
    again.run_due()
    assert again.settlement() == Answered(texts=("a, attempt 2",))
    assert again.clock() == START, "nobody waited for the lease to end"
    again.store.close()


# ------------------------------------------------------------------------------------------------- commits


def test_a_delivery_costs_two_commits_and_the_part_that_completes_a_join_three(
    process: Opens, monkeypatch: pytest.MonkeyPatch
) -> None:
    troupe = process(FANNED_WITH_SIDE)
    commits = []
    original = Store._commit

    def counted(store: Store, batch: object) -> None:
        commits.append(1)
        original(store, batch)

    monkeypatch.setattr(Store, "_commit", counted)
    troupe.script.failures["note A"] = down(1)
    troupe.start(ListAsked(texts=("a", "b")))
    costs: dict[str, list[int]] = {}
    while (due := troupe.next_due()) is not None:
        troupe.clock.move_to(due)
        entry = troupe.bus.take_due()
        assert entry is not None
        commits.clear()
        troupe.deliver(entry)
        costs.setdefault(entry.agent, []).append(len(commits))
    assert costs["collect"] == [1, 3]
    assert costs["note"] == [2, 2, 2], "a failed attempt costs the same"
    assert {name: max(each) for name, each in costs.items() if name != "collect"} == dict.fromkeys(
        ("split", "handle", "note", "keep"), 2
    )
