"""An endpoint that does not answer is left alone for a while, and one that does never is."""

import pytest

from functions.adapters.models.bound import Call, Message
from functions.adapters.models.breaker import ALONE_S, LOST_CALLS, PATIENT_S, Breaker
from functions.adapters.models.prices import Price
from functions.ports.models import ModelError


class Endpoint:
    """A `Chat` that fails with these reasons, one call each, then answers; it writes so many tokens first."""

    model = "small"
    price = Price(read=1, written=2)

    def __init__(self, *reasons: str, written: int = 0) -> None:
        self.reasons = list(reasons)
        self.written = written
        self.asked = 0

    def complete(self, call: Call) -> str:
        self.asked += 1
        call.book(10, self.written)
        if self.reasons:
            raise ModelError("nothing came of it", reason=self.reasons.pop(0))
        return "Yes."


class Asking:
    """Calls through a breaker, at times that only the test moves."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.now = 1_000.0
        self.endpoint = endpoint
        self.breaker = Breaker(endpoint, elapsed=lambda: self.now)
        self.booked: list[tuple[int, int]] = []

    def ask(self, *, times: int = 1, left_s: float = PATIENT_S) -> list[str]:
        return [self._ask(left_s) for _ in range(times)]

    def _ask(self, left_s: float) -> str:
        call = Call(
            messages=(Message("system", "Be brief."), Message("user", "Is it?")),
            schema=None,
            max_tokens=5,
            left_s=left_s,
            show=lambda _: None,
            book=lambda *used: self.booked.append(used),
            check=lambda: None,
        )
        try:
            return self.breaker.complete(call)
        except ModelError as error:
            return error.reason


@pytest.mark.parametrize("reason", ["timeout", "unreachable"])
def test_an_endpoint_that_did_not_answer_several_times_is_left_alone(reason: str) -> None:
    asking = Asking(Endpoint(*[reason] * LOST_CALLS))
    assert asking.ask(times=LOST_CALLS) == [reason] * LOST_CALLS
    asking.now += ALONE_S - 1
    assert asking.ask(times=5) == ["unreachable"] * 5
    assert asking.endpoint.asked == LOST_CALLS


def test_after_a_while_one_call_is_let_through_and_an_answer_opens_the_way() -> None:
    asking = Asking(Endpoint(*["timeout"] * LOST_CALLS))
    asking.ask(times=LOST_CALLS)
    asking.now += ALONE_S
    assert asking.ask(times=3) == ["Yes."] * 3


def test_where_the_one_call_finds_nobody_the_others_are_spared_again() -> None:
    asking = Asking(Endpoint(*["timeout"] * (LOST_CALLS + 1)))
    asking.ask(times=LOST_CALLS)
    asking.now += ALONE_S
    assert asking.ask(times=3) == ["timeout", "unreachable", "unreachable"]
    assert asking.endpoint.asked == LOST_CALLS + 1


def test_while_the_one_call_is_out_the_others_fail_at_once() -> None:
    class Waiting(Endpoint):
        def complete(self, call: Call) -> str:
            if self.asked == LOST_CALLS:
                self.asked += 1
                return f"meanwhile: {asking.ask()}"
            return super().complete(call)

    asking = Asking(Waiting(*["timeout"] * LOST_CALLS))
    asking.ask(times=LOST_CALLS)
    asking.now += ALONE_S
    assert asking.ask() == ["meanwhile: ['unreachable']"]


@pytest.mark.parametrize("between", ["rate limited", "malformed", "truncated"])
def test_an_endpoint_that_answers_now_and_then_is_asked_on(between: str) -> None:
    reasons = (*["timeout"] * (LOST_CALLS - 1), between, *["timeout"] * (LOST_CALLS - 1))
    asking = Asking(Endpoint(*reasons))
    assert asking.ask(times=len(reasons) + 1) == [*reasons, "Yes."]


def test_a_model_that_is_slow_but_writes_is_asked_on() -> None:
    asking = Asking(Endpoint(*["timeout"] * LOST_CALLS, written=1))
    assert asking.ask(times=LOST_CALLS + 1)[-1] == "Yes."


def test_a_call_without_time_says_nothing_about_the_endpoint() -> None:
    asking = Asking(Endpoint(*["timeout"] * (2 * LOST_CALLS)))
    asking.ask(times=LOST_CALLS, left_s=PATIENT_S - 1)
    asking.ask(times=LOST_CALLS - 1)
    asking.ask(left_s=PATIENT_S - 1)
    assert asking.endpoint.asked == 2 * LOST_CALLS
    assert asking.ask(times=2) == ["Yes."] * 2


def test_what_a_call_used_is_still_booked() -> None:
    asking = Asking(Endpoint(written=4))
    assert asking.ask() == ["Yes."]
    assert asking.booked == [(10, 4)]
