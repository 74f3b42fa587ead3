"""The stream of a request: whatever a client saw before it was cut off, the rest completes its picture."""

from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from api_fakes import TOLD, Caller, Sent, TickingClock, data, events_of
from harness import Harness
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_target import MemoryTarget
from sample_workflows import FANNED, ListAsked

from functions.api.events import MAX_CHANGES
from functions.api.http import HttpResponse, Stream
from functions.errors import PermanentError
from functions.ports.requests import Limits
from functions.runtime.workflow import Workflow

Picture = dict[str, Any]


@pytest.fixture(params=["local", "memory"])
def caller(request: pytest.FixtureRequest) -> Caller:
    if request.param == "memory":
        return Caller(ticking(TOLD, FANNED), Limits())
    on_machine: Caller = request.getfixturevalue("local_caller")
    return on_machine


def ticking(*workflows: Workflow) -> MemoryTarget:
    """Items whose changes are told at once, by a clock that goes on."""
    return MemoryTarget(*workflows, clock=TickingClock(), apart=timedelta(0))


def seen(caller: Caller, stream: Stream) -> tuple[list[Sent], Stream, bool]:
    chunk = caller.follow(stream)
    return events_of(chunk.body), chunk.stream, chunk.ended


def drawn(picture: Picture, events: list[Sent]) -> None:
    """What a client knows after these events."""
    for event in events:
        if event.name in {"request", "settled"}:
            picture["request"] = event.data
            for delivery in event.data["deliveries"]:
                picture[delivery["key"]] = delivery
        elif event.name == "delivery":
            picture[event.data["key"]] = event.data
        else:
            written = picture.setdefault((event.data["agent"], event.data["attempt"]), {})
            written[event.data["position"]] = event.data["text"]
        picture["last"] = event.id or picture.get("last", "")


def test_a_stream_begins_with_the_request_and_ends_with_its_settlement(caller: Caller) -> None:
    request = caller.say("hello").request
    first, stream, ended = seen(caller, caller.watch(request))
    assert [(each.name, each.id, each.data["status"]) for each in first] == [("request", "", "running")]
    assert not ended
    caller.harness.run()
    rest, _, ended = seen(caller, stream)
    assert ended
    assert [each.name for each in rest] == ["delivery", "settled"]
    assert rest[0].data["agent"] == "tell"
    assert rest[-1].data == data(caller.get(f"/requests/{request}"))
    assert all(each.id for each in rest)


def test_where_nothing_happened_nothing_is_sent(caller: Caller) -> None:
    _, stream, _ = seen(caller, caller.watch(caller.say("hello").request))
    chunk = caller.follow(stream)
    assert (chunk.body, chunk.stream, chunk.ended) == (b"", stream, False)


def test_a_delivery_is_sent_when_it_begins_when_an_attempt_fails_and_when_it_is_done(caller: Caller) -> None:
    harness, request = caller.harness, caller.say("hello").request
    states = []
    stream = seen(caller, caller.watch(request))[1]

    def look() -> None:
        nonlocal stream
        events, stream, _ = seen(caller, stream)
        deliveries = [each.data for each in events if each.name == "delivery"]
        states.extend((each["attempts"], each["error"] != "", each["finished"] is not None) for each in deliveries)

    harness.script.meanwhile = look
    harness.script.failures["hello"] = [OSError("busy"), None]
    harness.step("tell")
    look()
    harness.run()
    look()
    assert states == [(1, False, False), (1, True, False), (2, True, False), (2, True, True)]


def test_tokens_are_sent_as_they_were_written(local_caller: Caller) -> None:
    request = local_caller.say("hello").request
    _, stream, _ = seen(local_caller, local_caller.watch(request))
    for position, text in ((0, "He"), (2, "\n\nllo")):
        _write(local_caller, request, position, text)
    events, _, _ = seen(local_caller, stream)
    assert [each.name for each in events] == ["tokens", "tokens"]
    assert [each.data for each in events] == [
        {"agent": "tell", "attempt": 1, "position": 0, "text": "He"},
        {"agent": "tell", "attempt": 1, "position": 2, "text": "\n\nllo"},
    ]


def test_nothing_is_missed_that_happens_while_changes_are_read(
    local_caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An id beyond a change that was not sent would lose that change: what is sent is of one moment."""
    harness, request = local_caller.machine, local_caller.say("hello").request
    stream = seen(local_caller, local_caller.watch(request))[1]
    read = harness.store.read

    def read_then_something_happens(query: str, parameters: tuple[object, ...] = ()) -> list[tuple[Any, ...]]:
        rows = read(query, parameters)
        if "changed" in query:
            monkeypatch.undo()
            harness.run()
            _write(local_caller, request)
        return rows

    monkeypatch.setattr(harness.store, "read", read_then_something_happens)
    sent = []
    for _ in range(2):
        events, stream, _ = seen(local_caller, stream)
        sent += [each.name for each in events]
    assert sent == ["delivery", "tokens", "settled"]


def _write(caller: Caller, request: str, position: int = 0, text: str = "He") -> None:
    row = ("default", request, caller.harness.bus.next_change(), "tell", 1, position, text)
    caller.harness.store.write(
        lambda connection: connection.execute("INSERT INTO written VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    )


def test_much_is_sent_in_parts_each_once_and_in_order(local_caller: Caller) -> None:
    request = local_caller.say("hello").request
    local_caller.machine.run()
    rows = [("default", request, number, "tell", 1, number, "x") for number in range(1, 2 * MAX_CHANGES + 10)]
    local_caller.machine.store.write(
        lambda connection: connection.executemany("INSERT INTO written VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    )
    stream, parts, ended = local_caller.watch(request), [], False
    while not ended:
        chunk = local_caller.follow(stream)
        parts.append(events_of(chunk.body))
        stream, ended = chunk.stream, chunk.ended
        assert chunk.more != ended
    assert all(len(part) <= MAX_CHANGES + 1 for part in parts)
    sent = [event for part in parts for event in part]
    assert [each.name for each in sent] == ["request", *["tokens"] * len(rows), "delivery", "settled"]
    assert [each.data["position"] for each in sent if each.name == "tokens"] == [row[5] for row in rows]


def test_who_has_everything_is_told_to_stop(caller: Caller) -> None:
    request = caller.say("hello").request
    caller.harness.run()
    events, _, ended = seen(caller, caller.watch(request))
    assert ended
    assert caller.get(f"/requests/{request}/events", {"Last-Event-ID": events[-1].id}) == HttpResponse(status=204)


FOREIGN = ["{other}:1", "{other}:settled", "{own}:settled", "1", ":1", "{own}:", "{own}:-1", "{own}:x", "{own}:\u0661"]


@pytest.mark.parametrize("last", [*FOREIGN, "{own}:99999999999999999999", "x" * 300])
def test_an_id_that_is_none_of_this_request_is_refused(caller: Caller, last: str) -> None:
    own, other = caller.say("hello").request, caller.say("hello", "c2").request
    response = caller.get(f"/requests/{own}/events", {"Last-Event-ID": last.format(own=own, other=other)})
    assert response.status == 400
    assert data(response)["errors"][0]["parameter"] == "Last-Event-ID"


def test_the_events_of_a_request_of_nobody_are_not_found(caller: Caller) -> None:
    assert caller.get("/requests/nope/events", {"Last-Event-ID": "nope:1"}).status == 404


def test_a_request_that_was_removed_meanwhile_ends_its_stream(caller: Caller) -> None:
    stream = caller.watch(caller.say("hello").request)
    remove_all(caller.harness)
    assert caller.follow(stream).ended


def remove_all(target: Harness | MemoryTarget) -> None:
    """Every request, as when it was too old."""
    if isinstance(target, MemoryTarget):
        target.items.partitions.clear()
        return
    target.store.write(lambda connection: connection.execute("DELETE FROM request"))


@settings(max_examples=60)
@given(st.data())
def test_whatever_was_seen_before_a_cut_the_rest_completes_the_picture(chosen: st.DataObject) -> None:
    """Deliveries, failures and looks in any order; each look sees any number of its events before it is cut off."""
    with TemporaryDirectory() as folder:
        harness = Harness(Path(folder), TOLD, FANNED)
        try:
            _cut_anywhere(Caller(harness, Limits()), chosen)
        finally:
            harness.store.close()


@settings(max_examples=60)
@given(st.data())
def test_over_items_too_the_rest_completes_the_picture(chosen: st.DataObject) -> None:
    _cut_anywhere(Caller(ticking(TOLD, FANNED), Limits()), chosen)


def _cut_anywhere(caller: Caller, chosen: st.DataObject) -> None:
    harness, picture = caller.harness, Picture()
    for text in chosen.draw(st.lists(st.sampled_from(["handle b", "handle c", "collect", "split"]), max_size=3)):
        failure = chosen.draw(st.sampled_from([OSError("busy"), PermanentError("broken")]))
        harness.script.failures.setdefault(text, []).append(failure)
    harness.start(ListAsked(texts=("b", "c")))

    def look() -> None:
        if not chosen.draw(st.booleans(), label="look"):
            return
        events, _, _ = seen(caller, caller.watch("r1", picture.get("last", "")))
        cut = chosen.draw(st.integers(0, len(events)), label="events that arrive")
        drawn(picture, events[:cut])

    harness.script.meanwhile = look
    harness.run()
    harness.script.meanwhile = lambda: None
    last = picture.get("last", "")
    if not last.endswith(":settled"):
        events, _, ended = seen(caller, caller.watch("r1", last))
        assert ended
        drawn(picture, events)
    whole = data(caller.get("/requests/r1"))
    assert picture["request"] == whole
    assert {key: each for key, each in picture.items() if key not in {"request", "last"}} == {
        each["key"]: each for each in whole["deliveries"]
    }


def test_what_comes_after_an_id_is_what_changed_since_and_nothing_twice(caller: Caller) -> None:
    caller.harness.start(ListAsked(texts=("b", "c")))
    caller.harness.step("split")
    events, _, _ = seen(caller, caller.watch("r1"))
    caller.harness.run()
    rest, _, _ = seen(caller, caller.watch("r1", events[-1].id))
    keys = [each.data["key"] for each in rest if each.name == "delivery"]
    assert len(keys) == len(set(keys)) == 3
    assert events[-1].data["key"] not in keys
    numbers = [int(each.id.rpartition(":")[2]) for each in (*events, *rest) if each.name == "delivery"]
    assert numbers == sorted(set(numbers))
