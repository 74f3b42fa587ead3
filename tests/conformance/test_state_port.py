"""The `State` port, one call after the other: what `deliver` builds on."""

from datetime import timedelta

import msgspec
import pytest
from guarantees import guarantee
from harness import Clock
from sample_workflows import FANNED, SINGLE, Answered, Asked, ListAsked
from target import Deploys, Troupe

from functions.errors import PermanentError
from functions.events.envelope import Envelope, decode
from functions.ports.state import Finish, Gathered, Part, State, Task
from functions.runtime.arrival import delivery_key
from functions.runtime.dead_letters import given_up

LEASE = guarantee("lease", "One delivery is worked on by one holder at a time, and each lease counts an attempt.")
RELEASED = guarantee("released", "A released delivery is busy until it is due, keeps its error, and counts on.")
FINISHED = guarantee("finished", "The first end of a delivery counts: its outputs, its settlement, its dead letter.")
GATHERED = guarantee(
    "gathered", "A join gives its parts once all are there, the first of each index, and the same ever after."
)
CLOSED = guarantee("closed", "A join that was closed keeps the parts that it had.")
LETTERS = guarantee("letters", "A dead letter is kept as it was written, once under its key.")


class Delivered:
    """One delivery of a request, and the state as it is seen by so many that are at it."""

    def __init__(self, troupe: Troupe) -> None:
        self.troupe = troupe
        self.envelope = troupe.start(Asked(text="a"))
        self._handed = troupe.take("work")
        key = delivery_key(self.envelope, "work")
        self.task = Task(key=key, agent="work", envelope=self.envelope, lease_s=15.0)

    def state(self) -> State:
        return self.troupe.target.state(self._handed)

    def answer(self, text: str) -> Envelope:
        data = msgspec.Raw(msgspec.json.encode(Answered(texts=(text,))))
        return msgspec.structs.replace(self.envelope, id=text, source="work", type="Answered.v1", data=data)

    def finish(self, state: State, text: str) -> None:
        answer = self.answer(text)
        state.finish(Finish(task=self.task, outputs=(answer,), settlement=answer))


@LEASE
def test_a_second_holder_is_told_until_when_the_first_has_it(deploy: Deploys, clock: Clock) -> None:
    delivered = Delivered(deploy(SINGLE))
    first = delivered.state().begin(delivered.task)
    assert (first.status, first.attempt, first.outputs) == ("leased", 1, None)
    second = delivered.state().begin(delivered.task)
    assert (second.status, second.attempt, second.until) == ("busy", 1, clock() + timedelta(seconds=15))
    clock.advance(15)
    assert delivered.state().begin(delivered.task).attempt == 2


@LEASE
def test_a_delivery_that_is_done_is_done_for_everybody(deploy: Deploys) -> None:
    delivered = Delivered(deploy(SINGLE))
    state = delivered.state()
    state.begin(delivered.task)
    delivered.finish(state, "first")
    assert delivered.state().begin(delivered.task).status == "done"
    assert delivered.troupe.target.leases() == 0


@RELEASED
def test_a_released_delivery_is_busy_until_it_is_due(deploy: Deploys, clock: Clock) -> None:
    delivered = Delivered(deploy(SINGLE))
    state = delivered.state()
    state.begin(delivered.task)
    due = clock() + timedelta(seconds=4)
    state.release(delivered.task, error="down", due=due)
    waiting = delivered.state().begin(delivered.task)
    assert (waiting.status, waiting.until) == ("busy", due)
    clock.advance(4)
    assert delivered.state().begin(delivered.task).attempt == 2
    assert [view.error for view in delivered.troupe.deliveries("work")] == ["down"]


@FINISHED
def test_the_first_end_counts(deploy: Deploys, clock: Clock) -> None:
    delivered = Delivered(deploy(SINGLE))
    slow, quick = delivered.state(), delivered.state()
    slow.begin(delivered.task)
    clock.advance(16)
    quick.begin(delivered.task)
    delivered.finish(slow, "slow")
    delivered.finish(quick, "quick")
    assert delivered.troupe.settlement() == Answered(texts=("slow",))


@FINISHED
def test_giving_up_is_for_whoever_holds_the_lease(deploy: Deploys, clock: Clock) -> None:
    delivered = Delivered(deploy(SINGLE))
    slow, quick = delivered.state(), delivered.state()
    slow.begin(delivered.task)
    clock.advance(16)
    quick.begin(delivered.task)
    error = PermanentError("too late")
    slow.finish(Finish(task=delivered.task, letter=given_up(delivered.task, "late", error, 1, clock())))
    assert delivered.troupe.letters() == []
    delivered.finish(quick, "quick")
    assert delivered.troupe.settlement() == Answered(texts=("quick",))


@FINISHED
def test_a_superseded_delivery_publishes_nothing_and_is_done(deploy: Deploys) -> None:
    delivered = Delivered(deploy(SINGLE))
    state = delivered.state()
    state.begin(delivered.task)
    state.supersede(delivered.task)
    assert delivered.state().begin(delivered.task).status == "done"
    assert delivered.troupe.view().status == "running"
    assert [view.error for view in delivered.troupe.deliveries("work")] == ["superseded: the request was settled"]


@FINISHED
def test_what_a_delivery_has_outrun_is_superseded(deploy: Deploys) -> None:
    delivered = Delivered(deploy(SINGLE))
    older, newer = delivered.state(), delivered.state()
    older.begin(delivered.task)
    task = msgspec.structs.replace(delivered.task, key="of the redrive", outrun=delivered.task)
    assert newer.begin(task).attempt == 1
    delivered.finish(older, "of the one before")
    assert delivered.state().begin(delivered.task).status == "done"
    assert delivered.troupe.view().status == "running"
    assert {view.error for view in delivered.troupe.deliveries("work")} == {"", "superseded: its join was redriven"}


class Joining:
    """A join of two parts."""

    def __init__(self, troupe: Troupe) -> None:
        self._troupe = troupe
        troupe.start(ListAsked(texts=("a", "b")))
        troupe.step("split")
        self._parts = [troupe.take("handle") for _ in range(2)]

    def state(self, index: int) -> State:
        """What the delivery that brings the part of this index is handed; an incomplete join ends it."""
        return self._troupe.target.state(self._parts[index])

    def part(self, index: int, text: str = "", generation: int = 0) -> Part:
        envelope = msgspec.structs.replace(decode(self._parts[index].raw), id=text or str(index), generation=generation)
        return Part(join="j", agent="collect", index=index, total=2, generation=generation, envelope=envelope)


def ids(found: Gathered | None) -> list[str]:
    assert found is not None
    return sorted(each.id for each in found.parts)


@GATHERED
def test_a_join_is_complete_with_one_part_of_each_index(deploy: Deploys) -> None:
    joining = Joining(deploy(FANNED))
    assert joining.state(1).gather(joining.part(1)) is None
    assert joining.state(1).gather(joining.part(1, "again")) is None
    assert ids(joining.state(0).gather(joining.part(0))) == ["0", "1"]
    assert ids(joining.state(0).gather(joining.part(0, "again"))) == ["0", "1"]


@GATHERED
def test_a_later_generation_takes_the_parts_of_the_earlier_where_it_has_none(deploy: Deploys) -> None:
    joining = Joining(deploy(FANNED))
    for index in (0, 1):
        joining.state(index).gather(joining.part(index))
    assert ids(joining.state(1).gather(joining.part(1, "new", generation=1))) == ["0", "new"]
    late = joining.state(1).gather(joining.part(1))
    assert late is not None
    assert late.generation == 1
    assert ids(late) == ["0", "new"]


@CLOSED
@pytest.mark.parametrize("late", [0, 1])
def test_a_closed_join_keeps_what_it_had(deploy: Deploys, late: int) -> None:
    joining = Joining(deploy(FANNED))
    joining.state(1 - late).gather(joining.part(1 - late))
    assert ids(joining.state(late).close(joining.part(0))) == [str(1 - late)]
    assert ids(joining.state(late).gather(joining.part(late))) == [str(1 - late)]
    assert ids(joining.state(late).close(joining.part(0))) == [str(1 - late)]


@LETTERS
def test_a_dead_letter_is_kept_as_it_was_written(deploy: Deploys) -> None:
    delivered = Delivered(deploy(SINGLE))
    letter = given_up(delivered.task, "odd", PermanentError("first"), 1, delivered.troupe.now())
    delivered.state().park(letter)
    delivered.state().park(msgspec.structs.replace(letter, error="second"))
    assert list(delivered.troupe.target.letters()) == [letter]
