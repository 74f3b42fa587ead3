"""What an attempt does that comes to its end when its delivery is already done."""

from collections.abc import Callable

import pytest
from harness import Harness
from sample_workflows import FANNED, SINGLE, Answered, Asked, ListAsked

from functions.adapters.local.state import LocalState
from functions.errors import PermanentError
from functions.runtime.delivery import deliver

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
