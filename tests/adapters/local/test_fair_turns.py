"""Who goes next: told by the order in which deliveries are taken, never by the time that they take."""

import threading
from collections.abc import Iterable

from harness import START, Clock
from hypothesis import given
from hypothesis import strategies as st

from functions.adapters.local.due import HELD_BYTES, TURN_S, DueQueue, Entry
from functions.adapters.local.fair import OLD, Flow
from functions.events.envelope import MAX_PARTS

PLACES = 4
NOW = START.timestamp()
NORMAL, LOW = 1, 2


def entries(count: int, flow: str, *, rank: int = NORMAL, first: int = 0) -> list[Entry]:
    """Deliveries that are due, of `tenant/conversation`."""
    whose = Flow(*flow.split("/"))
    return [Entry(NOW, rank, first + number, "agent", flow=whose) for number in range(count)]


class Line:
    """A queue whose deliveries end as soon as they were taken, unless they are held."""

    def __init__(self, places: int = PLACES) -> None:
        self.clock = Clock()
        self.queue = DueQueue(self.clock, places)

    def hold(self) -> str:
        """Take one, whose end is yet to come; whose it is."""
        entry = self.queue._next()
        assert entry is not None, "nothing waits, or no place is free"
        return "/".join(entry.flow)

    def taken(self, count: int) -> list[str]:
        """Whose deliveries are taken one after the other."""
        found = []
        for _ in range(count):
            entry = self.queue._next()
            assert entry is not None
            found.append("/".join(entry.flow))
            self.queue.leave(entry.receipt)
        return found


def test_a_question_goes_next_beside_the_largest_fan_out_of_another_conversation() -> None:
    line = Line()
    line.queue.announce(entries(MAX_PARTS, "t/fan-out"))
    assert line.taken(3) == ["t/fan-out"] * 3
    line.queue.announce(entries(1, "t/question", first=MAX_PARTS))
    assert "t/question" in line.taken(2)


def test_conversations_take_turns() -> None:
    line = Line()
    line.queue.announce([*entries(3, "t/a"), *entries(3, "t/b", first=10), *entries(1, "t/c", first=20)])
    assert line.taken(7) == ["t/a", "t/b", "t/c", "t/a", "t/b", "t/a", "t/b"]


def test_a_tenant_with_many_conversations_gets_no_more_turns_than_one_with_one() -> None:
    line = Line()
    for number in range(100):
        line.queue.announce(entries(1, f"busy/{number}", first=number))
    line.queue.announce(entries(3, "quiet/only", first=1000))
    assert line.taken(6).count("quiet/only") == 3


def test_deliveries_of_one_conversation_keep_their_order() -> None:
    line = Line(places=1)
    line.queue.announce(entries(20, "t/a"))
    taken = []
    while (entry := line.queue._next()) is not None:
        taken.append(entry.receipt)
        line.queue.leave(entry.receipt)
    assert taken == list(range(20))


def test_whoever_holds_fewer_places_goes_first_however_long_the_others_work() -> None:
    line = Line()
    line.queue.announce(entries(10, "slow/a"))
    assert [line.hold() for _ in range(PLACES - 1)] == ["slow/a"] * (PLACES - 1)
    line.queue.announce(entries(5, "quick/b", first=100))
    assert line.taken(5) == ["quick/b"] * 5, "one place is enough for all of them, one after the other"


def test_a_conversation_goes_first_within_its_tenant_where_it_holds_fewer_places() -> None:
    line = Line()
    line.queue.announce(entries(10, "t/slow"))
    line.hold()
    line.hold()
    line.queue.announce(entries(3, "t/quick", first=100))
    assert line.taken(3) == ["t/quick"] * 3


def test_what_is_more_urgent_goes_first_and_what_waits_long_is_not_starved() -> None:
    line = Line()
    line.queue.announce([*entries(3, "t/background", rank=LOW), *entries(40, "t/urgent", rank=0, first=100)])
    taken = line.taken(40)
    assert taken[:OLD] == ["t/urgent"] * OLD
    assert taken[OLD] == "t/background", "eight went before it"
    assert taken.count("t/background") == 3


def test_each_priority_below_the_highest_gets_old() -> None:
    line = Line()
    line.queue.announce([*entries(100, "t/high", rank=0), *entries(100, "t/normal", first=100)])
    line.queue.announce(entries(100, "t/low", rank=LOW, first=200))
    taken = line.taken(100)
    assert {name: taken.count(name) >= 100 // (OLD + 3) for name in set(taken)} == {
        "t/high": True,
        "t/normal": True,
        "t/low": True,
    }


def test_a_delivery_does_not_pass_its_place_on_where_another_conversation_is_owed_it() -> None:
    line = Line()
    line.queue.announce(entries(PLACES, "t/a"))
    for _ in range(PLACES):
        line.hold()
    line.queue.announce(entries(1, "t/b", first=100))
    assert not line.queue.goes_on(NORMAL, NOW, Flow("t", "a")), "b holds no place and a holds all"
    line.queue.leave(0)
    assert line.hold() == "t/b"


def test_a_delivery_passes_its_place_on_within_its_turn_where_the_shares_are_even() -> None:
    line = Line(places=1)
    line.queue.announce(entries(1, "t/a"))
    line.hold()
    line.queue.announce(entries(1, "t/b", first=100))
    assert line.queue.goes_on(NORMAL, NOW, Flow("t", "a"))
    line.clock.advance(2 * TURN_S)
    assert not line.queue.goes_on(NORMAL, NOW, Flow("t", "a"))


def test_a_place_that_is_not_passed_on_goes_to_whose_turn_it_is_and_not_to_who_came_first() -> None:
    line = Line(places=1)
    line.queue.announce(entries(1, "t/a", rank=0))
    line.hold()
    line.queue.announce(entries(1, "t/b", rank=LOW, first=100))
    line.queue.replace(0, (), entries(1, "t/a", rank=0, first=1), reserved=0)
    assert line.hold() == "t/a", "what it published is more urgent than what waited for its place"


def test_a_delivery_gives_way_to_one_of_a_lower_priority_that_got_old() -> None:
    line = Line()
    line.queue.announce([*entries(1, "t/low", rank=LOW), *entries(OLD, "t/high", rank=0, first=100)])
    line.taken(OLD)
    assert not line.queue.goes_on(0, NOW, Flow("t", "high"))


def test_no_more_is_begun_ahead_than_idle_workers_take_at_once() -> None:
    line = Line(places=100)
    taken: list[Entry | None] = []
    workers = [threading.Thread(target=lambda: taken.append(line.queue.take())) for _ in range(3)]
    for worker in workers:
        worker.start()
    while line.queue._idle < len(workers):
        pass
    assert line.queue.reserve(50) == len(workers)
    assert line.queue.reserve(50) == 0, "they are spoken for"
    line.queue.hand((), reserved=len(workers))
    line.queue.stop()
    for worker in workers:
        worker.join()
    assert taken == [None] * 3


def test_the_events_that_are_held_in_memory_are_bounded() -> None:
    line = Line()
    raw = bytes(HELD_BYTES // 4)
    line.queue.announce(entry._replace(raw=raw) for entry in entries(10, "t/a"))
    held = [line.queue._next() for _ in range(PLACES)]
    assert [bool(entry and entry.raw) for entry in held] == [True] * 4
    later = line.queue.take_due()
    assert later is not None
    assert not later.raw, "it is read from the table again"
    line.queue.announce(entry._replace(raw=raw) for entry in entries(1, "t/b", first=100))
    line.queue.leave(0)
    fresh = line.queue._next()
    assert fresh is not None
    assert fresh.raw, "what was taken made room"


FLOWS = ("t/a", "t/b", "u/a", "v/a")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(FLOWS), st.integers(0, LOW)),
        st.sampled_from(["take", "leave", "leave"]),
    ),
    max_size=200,
)


@given(STEPS)
def test_whatever_happens_each_is_taken_once_and_those_of_a_conversation_and_priority_in_order(
    steps: Iterable[str | tuple[str, int]],
) -> None:
    line, came, taken, held = Line(), list[Entry](), list[Entry](), list[int]()
    for step in steps:
        if isinstance(step, tuple):
            (entry,) = entries(1, step[0], rank=step[1], first=len(came))
            came.append(entry)
            line.queue.announce([entry])
        elif step == "take" and (found := line.queue._next()) is not None:
            taken.append(found)
            held.append(found.receipt)
        elif step == "leave" and held:
            line.queue.leave(held.pop(0))
        assert len(held) <= PLACES
    for receipt in held:
        line.queue.leave(receipt)
    while (found := line.queue._next()) is not None:
        taken.append(found)
        line.queue.leave(found.receipt)
    assert sorted(entry.receipt for entry in taken) == [entry.receipt for entry in came]
    for flow in FLOWS:
        for rank in range(LOW + 1):
            own = [entry.receipt for entry in taken if "/".join(entry.flow) == flow and entry.rank == rank]
            assert own == sorted(own)
    assert len(line.queue) == 0
    assert line.queue._ready.places.of_flows == {}
    assert line.queue._ready.places.of_tenants == {}
