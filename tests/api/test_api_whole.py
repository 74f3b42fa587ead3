"""A server that can neither be woken nor stream asks again, for as long as it may and no longer."""

from api_fakes import Caller, data

from functions.api.http import HttpRequest, HttpResponse
from functions.api.whole import whole


class Time:
    """A clock that only waiting moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def waited(caller: Caller, request: str, time: Time, *, left_s: float = 27.0, wait: str = "20") -> HttpResponse:
    asked = HttpRequest(method="GET", path=f"/requests/{request}", query=f"wait={wait}")
    return whole(caller.api, asked, left_s=left_s, sleep=time.sleep, clock=time.clock)


def test_whoever_waits_is_answered_once_the_request_is_settled(caller: Caller) -> None:
    request, time = caller.say("hello").request, Time()

    def sleep(seconds: float) -> None:
        time.sleep(seconds)
        if len(time.pauses) == 3:
            caller.harness.run()

    asked = HttpRequest(method="GET", path=f"/requests/{request}", query="wait=20")
    response = whole(caller.api, asked, left_s=27.0, sleep=sleep, clock=time.clock)
    assert (data(response)["status"], len(time.pauses)) == ("settled", 3)


def test_pauses_grow_and_end_with_the_wait(caller: Caller) -> None:
    request, time = caller.say("hello").request, Time()
    assert data(waited(caller, request, time))["status"] != "settled"
    assert time.pauses[:3] == [0.1, 0.1 * 1.5, 0.1 * 1.5 * 1.5]
    assert max(time.pauses) == 1.0
    assert round(time.now, 6) == 20.0


def test_nobody_waits_beyond_the_time_that_is_left(caller: Caller) -> None:
    request, time = caller.say("hello").request, Time()
    assert waited(caller, request, time, left_s=2.5).status == 200
    assert round(time.now, 6) == 2.5
    assert waited(caller, request, Time(), left_s=-1.0).status == 200
