"""The pusher tells who watches, in order and once, whatever happens beside it; the desk lets conversations go on."""

import msgspec
import pytest
from aws_events import sqs
from aws_fakes import Stack
from test_aws_socket import ASK, connected, hear, left, run, say

from functions.entry_points.aws import desk
from functions.events.envelope import Envelope, encode


def answered(stack: Stack) -> Envelope:
    """The answer to what was asked, once it is settled."""
    stack.memory.run()
    _, accepted = stack.posted.messages[0]
    view = stack.requests.view(accepted["request"], tenant="default")
    assert view is not None
    assert view.settlement is not None
    return view.settlement


# ------------------------------------------------------------------------------------------------- the pusher


def test_an_event_that_is_heard_twice_is_told_once(stack: Stack) -> None:
    connected(stack)
    say(stack, ASK)
    settlement = answered(stack)
    assert hear(stack, settlement, settlement) == []
    assert stack.posted.events("c=") == ["accepted", "request", "delivery", "settled"]


def test_who_comes_while_somebody_pushes_leaves_word_and_nothing_is_told_twice(stack: Stack) -> None:
    connected(stack)
    request = say(stack, ASK)[0]["request"]
    settlement = answered(stack)
    calls = list[int]()

    def beside() -> None:  # another pusher hears the same while the first one posts
        if not calls:
            calls.append(1)
            assert hear(stack, settlement) == []

    stack.posted.before = beside
    assert hear(stack, settlement) == []
    assert stack.posted.events("c=") == ["accepted", "request", "delivery", "settled"]
    assert stack.sockets.watching(request, tenant="default") == []


def test_word_that_was_left_makes_the_holder_look_again(stack: Stack) -> None:
    connected(stack)
    request = say(stack, ASK)[0]["request"]
    (watch,) = stack.sockets.watching(request, tenant="default")
    held = stack.sockets.hold(watch)
    assert held is not None
    assert stack.sockets.hold(watch) is None
    again = stack.sockets.give_back(msgspec.structs.replace(held, after=7))
    assert again is not None
    assert again.after == 7
    assert stack.sockets.give_back(again) is None
    assert stack.sockets.hold(watch) is not None


def test_a_pusher_that_died_is_taken_over_and_gives_nothing_back_later(stack: Stack) -> None:
    connected(stack)
    request = say(stack, ASK)[0]["request"]
    (watch,) = stack.sockets.watching(request, tenant="default")
    dead = stack.sockets.hold(watch)
    assert dead is not None
    stack.clock.advance(21)
    taken = stack.sockets.hold(watch)
    assert taken is not None
    assert stack.sockets.give_back(msgspec.structs.replace(dead, after=99)) is None
    assert stack.sockets.watching(request, tenant="default") == [taken]
    assert stack.sockets.give_back(taken) is None


def test_a_connection_that_fails_is_tried_again_and_holds_nobody_up(stack: Stack) -> None:
    connected(stack, "a=")
    request = say(stack, ASK, "a=")[0]["request"]
    connected(stack, "b=")
    say(stack, {"watch": request}, "b=")
    settlement = answered(stack)
    broken = stack.posted.post

    def post(name: str, message: bytes) -> None:
        if name == "a=":
            raise OSError("no route to host")
        broken(name, message)

    stack.posted.post = post  # type: ignore[method-assign]
    assert hear(stack, settlement) == [{"itemIdentifier": "0"}]
    assert stack.posted.events("b=")[-1] == "settled"
    stack.posted.post = broken  # type: ignore[method-assign]
    stack.clock.advance(21)
    assert hear(stack, settlement) == []
    assert stack.posted.events("a=")[-1] == "settled"


def test_who_watches_a_request_that_nobody_ends_is_told_by_the_sweeper(stack: Stack) -> None:
    connected(stack)
    say(stack, ASK)
    stack.clock.advance(3_600)
    assert [each.connection.name for each in stack.sockets.overdue(10)] == ["c="]
    run(stack)  # nothing is heard of a request that only a sweep ends
    assert stack.posted.events("c=")[-1] == "request"


@pytest.mark.parametrize("change", [{"workflow": "elsewhere"}, {"request": "another"}, {"tenant": "alice"}])
def test_an_event_from_another_bus_is_acknowledged_with_a_dead_letter(stack: Stack, change: dict[str, str]) -> None:
    connected(stack)
    say(stack, ASK)
    before = len(stack.posted.messages)
    foreign = msgspec.structs.replace(answered(stack), **change)
    assert hear(stack, foreign) == []
    assert desk.heard(sqs(foreign), stack.requests, stack.border("desk")) == {"batchItemFailures": []}
    assert sorted((each.agent, each.reason) for each in stack.letters()) == [
        ("desk", "malformed envelope"),
        ("pusher", "malformed envelope"),
    ]
    assert len(stack.posted.messages) == before
    assert left(stack) != []


def test_bytes_that_are_no_envelope_are_acknowledged_with_a_dead_letter(stack: Stack) -> None:
    assert desk.heard(sqs(b"{"), stack.requests, stack.border("desk")) == {"batchItemFailures": []}
    assert [each.event for each in stack.letters()] == [b"{"]


# --------------------------------------------------------------------------------------------------- the desk


def test_the_desk_lets_a_conversation_go_on(stack: Stack) -> None:
    connected(stack)
    say(stack, ASK)
    say(stack, ASK)
    assert len(stack.memory.queued()) == 1
    stack.memory.deliver(stack.memory.take())  # the memory target hears its own desk
    settled = [each for each in stack.memory.queued() if each.name == "Told"]
    assert len(settled) == 1


def test_a_message_that_fails_is_seen_again_alone(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    connected(stack)
    say(stack, ASK)
    settlement = answered(stack)

    def broken(_: object) -> None:
        raise OSError("the table is away")

    monkeypatch.setattr(stack.requests, "go_on", broken)
    answer = desk.heard(sqs(b"{", encode(settlement)), stack.requests, stack.border("desk"))
    assert answer == {"batchItemFailures": [{"itemIdentifier": "1"}]}
