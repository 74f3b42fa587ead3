"""A WebSocket asks and watches; what is wrong is said, and nothing of a connection stays for ever."""

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest
from aws_events import socket, sqs
from aws_fakes import Json, Stack

from functions.adapters.items.sockets import MOST_WATCHED
from functions.api.pushing import MOST_BYTES, Message, said
from functions.entry_points.aws import pusher
from functions.entry_points.aws.socket import LONGEST, handled
from functions.events.envelope import Envelope

ASK = {"message": {"text": "hello"}, "conversation": "c1"}


def connected(stack: Stack, name: str = "c=", tenant: str = "default") -> None:
    event = socket("connect", name, authorizer={"tenant": tenant, "principalId": tenant})
    assert handled(event, stack.web_socket) == {"statusCode": 200}


def say(stack: Stack, body: object, name: str = "c=") -> list[Json]:
    """What a connection is sent because of a message."""
    before = len(stack.posted.to(name))
    assert handled(socket("message", name, body), stack.web_socket) == {"statusCode": 200}
    return stack.posted.to(name)[before:]


def hear(stack: Stack, *envelopes: Envelope) -> list[Json]:
    """Let the pusher have events; what it failed on."""
    answer = pusher.heard(sqs(*envelopes), stack.target, stack.sockets, stack.posted.post, stack.event_filter("pusher"))
    failed: list[Json] = answer["batchItemFailures"]
    return failed


def problem(messages: list[Json]) -> Json:
    (message,) = messages
    assert message["event"] == "problem"
    found: Json = message["data"]
    return found


def run(stack: Stack) -> None:
    """Let the agents work, and the pusher hear what they publish."""
    published = list[Envelope]()
    publish = stack.memory.bus.publish

    def heard(envelopes: Sequence[Envelope]) -> None:
        published.extend(envelopes)
        publish(envelopes)

    stack.memory.bus.publish = heard  # type: ignore[method-assign]
    stack.memory.run()
    assert hear(stack, *published) == []


def left(stack: Stack) -> list[str]:
    """The keys of everything that is kept of connections."""
    partitions = stack.items.partitions.items()
    return [f"{name} {key}" for name, items in partitions for key in items if name.startswith("socket#")]


# ------------------------------------------------------------------------------------------------- what it does


def test_a_question_is_taken_followed_and_answered(stack: Stack) -> None:
    connected(stack)
    first = say(stack, ASK | {"id": "1"})
    assert [(each["event"], each.get("to", "")) for each in first] == [("accepted", "1"), ("request", "")]
    run(stack)
    assert stack.posted.events("c=")[-1] == "settled"
    settled = stack.posted.to("c=")[-1]
    assert settled["data"]["answer"] == {"texts": ["hello"], "missing": []}
    assert settled["id"] == f"{settled['request']}:settled"


def test_whoever_watches_is_told_what_happened_before_and_what_comes(stack: Stack) -> None:
    connected(stack, "a=")
    request = say(stack, ASK, "a=")[0]["request"]
    connected(stack, "b=")
    assert [each["event"] for each in say(stack, {"watch": request}, "b=")] == ["request"]
    run(stack)
    assert stack.posted.events("b=")[-1] == "settled"
    again = say(stack, {"watch": request}, "b=")
    assert [each["event"] for each in again] == ["request", "delivery", "settled"]
    assert [each["event"] for each in say(stack, {"watch": request, "after": again[1]["id"]}, "b=")] == [
        "request",
        "settled",
    ]


def test_a_settled_request_is_watched_no_more(stack: Stack) -> None:
    connected(stack)
    say(stack, ASK)
    run(stack)
    assert [key for key in left(stack) if "watch" in key or "socket#request" in key] == []


def test_a_key_makes_a_repeat_the_same_request(stack: Stack) -> None:
    connected(stack)
    first, second = (say(stack, ASK | {"key": "k1"})[0]["request"] for _ in range(2))
    assert first == second


def test_a_ping_is_answered(stack: Stack) -> None:
    connected(stack)
    assert say(stack, {"ping": 1, "id": "p"}) == [{"event": "pong", "to": "p", "data": None}]


def test_the_subprotocol_is_chosen_where_it_is_offered(stack: Stack) -> None:
    event = socket("connect")
    event["headers"]["Sec-WebSocket-Protocol"] = "troupe, troupe.key.abc"
    assert handled(event, stack.web_socket)["headers"] == {"Sec-WebSocket-Protocol": "troupe"}


# --------------------------------------------------------------------------------------------------- who it is


def test_without_an_authorizer_nobody_is_connected(stack: Stack) -> None:
    assert handled(socket("connect", authorizer={}), stack.web_socket) == {"statusCode": 401}
    assert left(stack) == []


def test_another_tenants_request_cannot_be_watched(stack: Stack) -> None:
    connected(stack, "a=")
    request = say(stack, ASK, "a=")[0]["request"]
    connected(stack, "b=", "alice")
    assert problem(say(stack, {"watch": request}, "b="))["status"] == 404
    run(stack)
    assert stack.posted.events("b=") == ["problem"]


def test_a_tenant_is_what_it_was_when_it_connected(stack: Stack) -> None:
    connected(stack, "a=", "alice")
    say(stack, ASK, "a=")
    assert {each.tenant for each in stack.memory.queued()} == {"alice"}


def test_a_connection_that_nobody_opened_is_told_to_connect(stack: Stack) -> None:
    assert problem(say(stack, ASK))["status"] == 401
    assert stack.messages() == []


# -------------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"[]", 400),
        (b"{}", 400),
        (b"\xc3\xa4", 400),
        ({"watch": 1}, 400),
        ({"watch": "r1", "ping": 1}, 400),
        ({"shout": "x"}, 400),
        ({"message": {"text": "a"}}, 422),
        ({"message": {}, "conversation": "c1"}, 422),
        ({"message": "a", "conversation": "c1"}, 422),
        ({"message": {"text": "a"}, "conversation": "\n"}, 400),
        ({"message": {"text": "a"}, "conversation": "c1", "key": "two words"}, 400),
        ({"ping": 1, "id": "x" * 200}, 422),
        ({"watch": "nobody"}, 404),
        ({"watch": "x" * 3000}, 400),
    ],
)
def test_what_is_malformed_is_answered_with_a_problem(stack: Stack, body: object, status: int) -> None:
    connected(stack)
    assert problem(say(stack, body))["status"] == status
    assert stack.messages() == []


def test_deep_nesting_is_answered_with_a_problem(stack: Stack) -> None:
    connected(stack)
    assert problem(say(stack, b'{"ping": ' + b"[" * 50_000 + b"]" * 50_000 + b"}"))["status"] == 400


def test_a_foreign_event_id_is_refused(stack: Stack) -> None:
    connected(stack)
    request = say(stack, ASK)[0]["request"]
    assert problem(say(stack, {"watch": request, "after": "other:3"}))["status"] == 400


def test_one_connection_watches_so_many_requests_and_no_more(stack: Stack) -> None:
    connected(stack)
    for number in range(MOST_WATCHED):
        say(stack, ASK | {"conversation": f"c{number}"})
    told = say(stack, ASK | {"conversation": "one more"})
    assert [each["event"] for each in told] == ["accepted", "problem"]
    assert told[1]["data"]["status"] == 429


def test_what_is_larger_than_a_message_says_where_it_is() -> None:
    large = msgspec.Raw(msgspec.json.encode("a" * MOST_BYTES))
    raw = said(Message(event="settled", id="r1:settled", request="r1", data=large))
    assert msgspec.json.decode(raw) == {
        "event": "settled",
        "id": "r1:settled",
        "request": "r1",
        "data": None,
        "see": "/requests/r1",
    }


# -------------------------------------------------------------------------------------------- what stays of it


def test_whoever_leaves_leaves_nothing_behind(stack: Stack) -> None:
    connected(stack)
    say(stack, ASK)
    assert len(left(stack)) == 3
    handled(socket("connect", routeKey="$disconnect"), stack.web_socket)
    assert left(stack) == []


def test_a_connection_that_is_gone_is_forgotten_when_it_is_posted_to(stack: Stack) -> None:
    connected(stack)
    say(stack, ASK)
    stack.posted.gone.add("c=")
    run(stack)
    assert left(stack) == []


def test_a_connection_that_goes_while_it_is_answered_is_forgotten(stack: Stack) -> None:
    connected(stack)
    stack.posted.gone.add("c=")
    assert handled(socket("message", "c=", ASK), stack.web_socket) == {"statusCode": 200}
    assert left(stack) == []


def test_a_websocket_that_never_closes_leaves_nothing_for_ever(stack: Stack) -> None:
    connected(stack)
    say(stack, ASK)
    stack.clock.advance((LONGEST + timedelta(minutes=1)).total_seconds())
    assert problem(say(stack, {"ping": 1}))["status"] == 401
    stack.items.expire(stack.clock())
    assert left(stack) == []
