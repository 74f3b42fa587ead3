"""What the API takes no more of: what is stopped, and what there is no room for."""

from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest
from api_fakes import TOLD, Caller, data
from harness import Harness
from memory_target import MemoryTarget
from sample_workflows import FANNED, ListAsked

from functions.adapters.local.store import Size, Store
from functions.ports.requests import Limits
from functions.ports.stops import Scope, Stop

Opens = Callable[..., Harness]
MESSAGES = "/conversations/c1/messages"
MEGABYTE = 1_000_000


@pytest.fixture
def local_caller(process: Opens) -> Caller:
    return Caller(process(TOLD, FANNED), Limits())


@pytest.fixture(params=["local", "memory"])
def caller(request: pytest.FixtureRequest) -> Caller:
    if request.param == "memory":
        return Caller(MemoryTarget(TOLD, FANNED), Limits())
    on_machine: Caller = request.getfixturevalue("local_caller")
    return on_machine


def limited(caller: Caller, **limits: int) -> Caller:
    return Caller(caller.harness, Limits(**limits))


def stop(caller: Caller, scope: Scope) -> None:
    at = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
    caller.stops.stop(Stop(scope=scope, reason="a leak", by="sam", at=at))


@pytest.mark.parametrize(
    ("scope", "said"),
    [
        (Scope(kind="conversation", name="c1", tenant="default"), "the conversation c1 was stopped by sam: a leak"),
        (Scope(kind="workflow", name="answer"), "the workflow answer was stopped by sam: a leak"),
        (Scope(kind="stack"), "everything was stopped by sam: a leak"),
    ],
)
def test_a_message_to_what_is_stopped_is_refused_with_who_stopped_what_until_it_is_resumed(
    caller: Caller, scope: Scope, said: str
) -> None:
    stop(caller, scope)
    response = caller.post(MESSAGES, {"text": "hello"})
    assert response.status == 409
    assert data(response)["detail"] == f"{said}: nothing is taken until somebody resumes it"
    assert caller.harness.requests.depth("c1", tenant="default").open == 0
    assert caller.stops.resume(scope)
    caller.say("hello")


def test_the_widest_stop_is_the_one_that_is_named(caller: Caller) -> None:
    stop(caller, Scope(kind="conversation", name="c1", tenant="default"))
    stop(caller, Scope(kind="stack"))
    stop(caller, Scope(kind="workflow", name="answer"))
    assert "everything was stopped" in data(caller.post(MESSAGES, {"text": "hello"}))["detail"]


def test_a_stop_of_one_conversation_holds_up_no_other_one(caller: Caller) -> None:
    stop(caller, Scope(kind="conversation", name="c1", tenant="default"))
    caller.say("hello", "c2")
    caller.as_tenant("acme").say("hello", "c1")


def test_a_repeat_of_a_message_that_was_taken_is_answered_as_before_the_stop(caller: Caller) -> None:
    first = caller.say("hello", idempotency_key="k1")
    stop(caller, Scope(kind="stack"))
    assert caller.say("hello", idempotency_key="k1") == first


def test_what_was_taken_before_a_stop_ends_with_who_stopped_what(caller: Caller) -> None:
    taken = caller.say("hello")
    stop(caller, Scope(kind="workflow", name="answer"))
    caller.harness.run()
    error = data(caller.get(f"/requests/{taken.request}"))["error"]
    assert error == {"agent": "tell", "reason": "the workflow answer was stopped by sam: a leak"}


def test_while_many_events_wait_no_message_is_taken(local_caller: Caller) -> None:
    local_caller.machine.start(ListAsked(texts=tuple("abcdef")), conversation="fan-out")
    local_caller.machine.step("split")
    few = limited(local_caller, events=7)
    assert few.post(MESSAGES, {"text": "hello"}).status == 429, "six parts and the timer that closes them"
    local_caller.machine.run_due()
    few.say("hello")


def sized(monkeypatch: pytest.MonkeyPatch, *, held_mb: int = 1, free_mb: int = 1000) -> None:
    size = Size(held=held_mb * MEGABYTE, free=free_mb * MEGABYTE)
    monkeypatch.setattr(Store, "size", lambda _: size)


@pytest.mark.parametrize(
    ("full", "said"),
    [
        ({"held_mb": 50}, "the store holds 50 MB, and may hold 50"),
        ({"free_mb": 9}, "9 MB are free on the store's disk"),
    ],
)
@pytest.mark.parametrize("text", ["hello", "\u4e8b" * 20_000])
def test_what_there_is_no_room_for_is_refused_and_leaves_nothing(
    local_caller: Caller, monkeypatch: pytest.MonkeyPatch, full: dict[str, int], said: str, text: str
) -> None:
    sized(monkeypatch, **full)
    small = limited(local_caller, store_mb=50, free_mb=10)
    response = small.post(MESSAGES, {"text": text})
    assert response.status == 507
    assert said in data(response)["detail"]
    assert response.headers["retry-after"] == "60"
    assert local_caller.machine.store.read("SELECT count(*) FROM request") == [(0,)]
    assert list((local_caller.machine.folder / "blobs").iterdir()) == []


def test_a_repeat_needs_no_room(local_caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    first = local_caller.say("hello", idempotency_key="k1")
    sized(monkeypatch, free_mb=0)
    assert local_caller.say("hello", idempotency_key="k1") == first


def test_the_room_of_what_was_removed_is_used_again(local_caller: Caller) -> None:
    store = local_caller.machine.store
    store.write(lambda c: c.execute("INSERT INTO message VALUES (1, 't', 'c', 'k', 'user', ?, 0, '')", ("x" * 10**6,)))
    full = store.size()
    assert full.held > 10**6
    store.write(lambda connection: connection.execute("DELETE FROM message"))
    assert store.size().held < full.held - 900_000
    assert store.size().free > 0


def test_what_is_stopped_is_listed_from_the_oldest_on(caller: Caller) -> None:
    scopes = [Scope(kind="conversation", name="a#b", tenant="acme"), Scope(kind="stack")]
    for number, scope in enumerate(scopes):
        at = datetime(2026, 1, 5, 9, number, tzinfo=UTC)
        caller.stops.stop(Stop(scope=scope, reason="", by="", at=at))
    listed = caller.stops.listed()
    assert [msgspec.structs.astuple(each)[0] for each in listed] == scopes
    assert [str(each) for each in listed] == ["the conversation a#b was stopped", "everything was stopped"]
