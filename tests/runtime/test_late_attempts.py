"""What comes late, again, or never: attempts past their lease, redrives, the part of a fan-out of nothing."""

from collections.abc import Callable

import pytest
from harness import Harness
from sample_workflows import FANNED, SINGLE, Answered, Asked, ListAsked

from functions.adapters.local.conversations import LocalAppend, LocalHistory
from functions.adapters.local.state import LocalState
from functions.errors import PermanentError
from functions.runtime.delivery import Binding, deliver
from functions.runtime.workflow import Budget

Opens = Callable[..., Harness]


@pytest.mark.parametrize("places", [0, 3])
def test_a_late_attempt_that_gives_up_leaves_no_message_behind(process: Opens, places: int) -> None:
    troupe = process(FANNED, places=places)
    troupe.start(ListAsked(texts=("a",)))
    troupe.step("split")
    troupe.step("handle")

    def timer_closes_the_join() -> None:
        troupe.clock.advance(49.0)  # past the lease, and to the timer of the scope
        troupe.step("collect")

    troupe.script.during["collect"] = timer_closes_the_join
    troupe.script.failures["collect"] = [None, PermanentError("too late")]
    troupe.step("collect")
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A",))
    assert troupe.letters() == []
    assert troupe.bus.depth() == 0


def test_a_port_that_fails_after_the_end_of_a_delivery_leaves_it_done(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked())
    entry = troupe.take()
    state = LocalState(troupe.bus, entry.receipt)
    deliver(entry.agent, troupe.raw(entry), troupe._ports(state))
    state.abandon()
    assert troupe.leases() == []
    assert [view.error for view in troupe.requests.deliveries("r1", tenant="default")] == [""]


def test_a_redrive_says_nothing_twice(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked())
    for key in ("first", "redriven"):
        binding = Binding(
            tenant="default",
            conversation="c1",
            request="r1",
            key=key,
            origin="first",
            agent="work",
            attempt=1,
            until=troupe.clock(),
            budget=Budget(),
        )
        assert LocalHistory(troupe.store, troupe.clock, binding).history() == []
        LocalAppend(troupe.store, troupe.clock, binding).append("user", "hello")
    assert troupe.store.read("SELECT text FROM message") == [("hello",)]


def test_a_fan_out_of_nothing_whose_part_is_lost_is_closed_by_its_timer(process: Opens) -> None:
    troupe = process(FANNED)
    troupe.start(ListAsked())
    troupe.step("split")
    lost = troupe.take("collect").receipt
    troupe.store.write(lambda connection: connection.execute("DELETE FROM queue WHERE receipt = ?", (lost,)))
    troupe.run()
    assert troupe.settlement() == Answered()
