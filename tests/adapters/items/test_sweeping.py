"""A sweep does each thing on its own: what fails holds nobody up, neither in this round nor in the next ones."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from faults import DownError
from harness import Clock
from memory_items import MemoryItems
from memory_target import MemoryTarget
from sample_workflows import SINGLE, Asked

from functions.adapters.items import keys
from functions.adapters.items.requests import SWEPT, Opened
from functions.adapters.items.sockets import ItemSockets
from functions.adapters.items.sweeping import each_alone
from functions.events.decoding import decoder
from functions.events.envelope import Envelope
from functions.ports.items import Place
from functions.ports.sockets import Connection, Watch


def refusing(troupe: MemoryTarget, conversation: str) -> None:
    """From now on the bus takes nothing of a conversation."""
    publish = troupe.bus.publish

    def refuse(envelopes: Sequence[Envelope]) -> None:
        if any(envelope.conversation.startswith(conversation) for envelope in envelopes):
            raise DownError("not taken")
        publish(envelopes)

    troupe.bus.publish = refuse  # type: ignore[method-assign]  # of this one alone


def stuck(troupe: MemoryTarget, conversation: str) -> None:
    """A conversation whose second request is to begin when the first is overdue."""
    troupe.start(Asked(), request=f"{conversation} 1", conversation=conversation)
    troupe.start(Asked(), request=f"{conversation} 2", conversation=conversation, deadline_s=10_000.0)


def test_a_request_that_fails_ends_no_sweep_for_the_others_and_its_error_is_raised() -> None:
    troupe = MemoryTarget(SINGLE)
    stuck(troupe, "bad")
    troupe.clock.advance(1.0)
    troupe.start(Asked(), request="good", conversation="good")
    refusing(troupe, "bad")
    troupe.clock.advance(120.0)
    with pytest.raises(DownError):
        troupe.requests.sweep()
    assert troupe.view("good").status == "settled"


def test_what_fails_for_good_keeps_no_later_one_from_its_turn_and_comes_again() -> None:
    troupe = MemoryTarget(SINGLE)
    for number in range(SWEPT):
        stuck(troupe, f"bad {number}")
    troupe.clock.advance(1.0)
    troupe.start(Asked(), request="good", conversation="good")
    publish = troupe.bus.publish
    refusing(troupe, "bad")
    troupe.clock.advance(120.0)
    with pytest.raises(DownError) as failed:
        troupe.requests.sweep()
    assert f"{SWEPT} errors in all" in failed.value.__notes__[0]
    assert troupe.view("good").status == "running"
    with pytest.raises(DownError):
        troupe.requests.sweep()
    assert troupe.view("good").status == "settled"
    troupe.bus.publish = publish  # type: ignore[method-assign]
    troupe.requests.sweep()
    assert troupe.view("bad 0 2").status == "running"


def test_a_request_that_failed_after_all_was_done_is_not_listed_again() -> None:
    troupe = MemoryTarget(SINGLE)
    troupe.start(Asked(), request="r1")
    troupe.clock.advance(120.0)
    put = troupe.items.put

    def failing(place: Place, value: bytes, **given: Any) -> bool:
        done = put(place, value, **given)
        if place == keys.request("default", "r1") and decoder(Opened).decode(value).closed:
            raise DownError("the answer of the store")
        return done

    troupe.items.put = failing  # type: ignore[method-assign]  # of this one alone
    with pytest.raises(DownError):
        troupe.requests.sweep()
    assert troupe.requests.depth("c1", tenant="default").open == 0
    assert troupe.requests.sweep() == 0


def test_a_connection_that_cannot_be_told_makes_room_for_the_next_one_and_comes_again() -> None:
    clock = Clock()
    sockets = ItemSockets(MemoryItems(), clock)
    for name in ("bad", "good"):
        connection = Connection(name=name, tenant="default", until=clock() + timedelta(hours=2))
        sockets.watch(Watch(connection=connection, request=name, deadline=clock() + timedelta(seconds=60)))
        clock.advance(1.0)
    clock.advance(120.0)
    (bad,) = sockets.overdue(1)
    sockets.put_off(bad)
    assert [watch.request for watch in sockets.overdue(1)] == ["good"]
    assert [watch.request for watch in sockets.overdue(10)] == ["good", "bad"]


def test_connections_that_are_over_keep_no_open_one_from_being_told() -> None:
    clock = Clock()
    sockets = ItemSockets(MemoryItems(), clock)
    for name, hours in (("over 1", 1), ("over 2", 1), ("open", 9)):
        connection = Connection(name=name, tenant="default", until=clock() + timedelta(hours=hours))
        sockets.watch(Watch(connection=connection, request=name, deadline=clock() + timedelta(hours=2)))
        clock.advance(1.0)
    clock.advance(timedelta(hours=3).total_seconds())  # and the store removes what is over some day later
    assert sockets.overdue(2) == []
    assert [watch.request for watch in sockets.overdue(2)] == ["open"]


def test_what_cannot_even_be_put_off_ends_no_round_either() -> None:
    done: list[int] = []

    def do(number: int) -> None:
        if number == 1:
            raise DownError("it")
        done.append(number)

    def put_off(_: int) -> None:
        raise DownError("the store")

    with pytest.raises(DownError, match="it"):
        each_alone([1, 2, 3], do, put_off)
    assert done == [2, 3]


def test_what_is_listed_for_a_limit_is_one_more_than_it_allows() -> None:
    troupe = MemoryTarget(SINGLE)
    for number in range(5):
        troupe.start(Asked(), request=f"r{number}", conversation=f"c{number}")
    assert troupe.requests.depth("c1", tenant="default", most=2).open == 3
    assert len(troupe.items.due(keys.OPEN, troupe.clock() + timedelta(days=1), 10)) == 5
