"""A request of a name that was used before: what is left of that is not what it begins with."""

import pytest
from faults import ShutdownError
from memory_target import MemoryTarget
from sample_workflows import SINGLE, Answered, Asked

DAY_S = 86_400.0


@pytest.mark.parametrize("crash", ["after put c1", "before put first", "after put first"])
def test_a_message_that_is_sent_again_long_after_a_crash_is_answered(crash: str) -> None:
    crashes = [crash]

    def step(step: str) -> None:
        if step in crashes:
            crashes.remove(step)
            raise ShutdownError

    troupe = MemoryTarget(SINGLE, step=step)
    with pytest.raises(ShutdownError):
        troupe.start(Asked(text="a"))
    troupe.clock.advance(3600.0)
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 1",))


def test_a_name_is_free_again_once_its_request_is_gone() -> None:
    troupe = MemoryTarget(SINGLE)
    for text in ("a", "b"):
        troupe.start(Asked(text=text))
        troupe.run()
        assert troupe.settlement() == Answered(texts=(f"{text}, attempt 1",))
        troupe.clock.advance(31 * DAY_S)
        troupe.expire(troupe.clock())
