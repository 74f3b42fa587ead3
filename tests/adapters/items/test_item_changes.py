"""What a stream of changes holds over items, where every function goes by a clock of its own."""

from datetime import timedelta

from harness import Clock
from memory_target import Handed, MemoryTarget
from sample_workflows import FANNED, SINGLE, Asked, ListAsked

from functions.adapters.items.requests import APART
from functions.ports.requests import Change, DeliveryView

STEP = timedelta(milliseconds=1)


class Follower:
    """A client that asks for what comes after the last number it has."""

    def __init__(self, target: MemoryTarget) -> None:
        self._target = target
        self.after = 0
        self.seen: list[Change] = []

    def look(self) -> list[DeliveryView]:
        """What is new."""
        changes = self._target.requests.changes("r1", tenant="default", after=self.after)
        assert all(change.number > self.after for change in changes)
        self.after = max([self.after, *(change.number for change in changes)])
        self.seen += changes
        return [change.view for change in changes if isinstance(change.view, DeliveryView)]


def parted(clock: Clock) -> tuple[MemoryTarget, Handed, Handed]:
    """A request with two parts, both handed out and neither begun."""
    target = MemoryTarget(FANNED, clock=clock)
    target.start(ListAsked(texts=("b", "c")))
    target.step("split")
    return target, target.take("handle"), target.take("handle")


def deliver(target: MemoryTarget, message: Handed, ahead: timedelta = timedelta(0)) -> None:
    """By a function whose clock is ahead by so much."""
    target.clock.time += ahead
    target.deliver(message)
    target.clock.time -= ahead


def test_no_change_is_missed_where_clocks_differ_by_less_than_what_is_waited_for() -> None:
    target, b, c = parted(Clock())
    follower = Follower(target)
    target.clock.time += APART + STEP
    assert [view.agent for view in follower.look()] == ["split"]
    deliver(target, c, ahead=APART / 2 - STEP)
    assert follower.look() == [], "what is young is not told yet"
    deliver(target, b, ahead=-APART / 2 + STEP)
    for _ in range(4):
        target.clock.time += APART / 2
        follower.look()
    told = {change.view.key for change in follower.seen if isinstance(change.view, DeliveryView)}
    assert told == {view.key for view in target.requests.deliveries("r1", tenant="default")}
    assert len(told) == 3
    assert target.view().status == "running"


def test_once_a_request_is_settled_everything_is_told_at_once() -> None:
    target = MemoryTarget(SINGLE)
    target.start(Asked())
    target.run()
    (delivery,) = Follower(target).look()
    assert delivery.finished is not None


def test_a_delivery_that_changed_again_has_a_greater_number_whatever_its_clock_says() -> None:
    target = MemoryTarget(SINGLE, apart=-timedelta(hours=1))
    target.start(Asked(text="a"))
    follower = Follower(target)

    def go_back() -> None:
        assert [view.finished for view in follower.look()] == [None]
        target.clock.time -= timedelta(minutes=1)

    target.script.during["work a"] = go_back
    target.step()
    (done,) = follower.look()
    assert done.finished is not None


def test_what_changed_at_the_same_microsecond_has_numbers_of_its_own() -> None:
    target, b, c = parted(Clock())
    for message in (b, c):
        deliver(target, message)
    target.run()
    numbers = [change.number for change in target.requests.changes("r1", tenant="default")]
    assert numbers == sorted(set(numbers))
    assert len(numbers) == 4


def test_nobody_is_told_of_a_request_that_is_not_theirs() -> None:
    target = MemoryTarget(SINGLE)
    target.start(Asked())
    target.run()
    assert target.requests.changes("r1", tenant="another") == []
    assert target.requests.changes("r2", tenant="default") == []


def test_a_delivery_writes_four_items() -> None:
    """Its record, the pace of its conversation, what it ends with, and its record again: no change costs a write."""
    steps: list[str] = []
    target = MemoryTarget(FANNED, step=steps.append)
    target.start(ListAsked(texts=("b", "c")))
    del steps[:]
    target.step("split")
    writes = [step for step in steps if step.startswith(("after put", "after count"))]
    assert writes == ["after put record", "after count pace", "after put outputs", "after put record"]
