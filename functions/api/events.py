"""What happens to a request, as server-sent events: a function from how far a stream is to what comes next.

An event's id is the request and the number of the change. Numbers grow, so that the last id says what a client has;
`settled` has no number, and its id says that nothing comes after it.
"""

from typing import Literal

import msgspec

from functions.api.http import Chunk, HttpResponse, Reply, Stream
from functions.api.problems import Wrong, wrong
from functions.api.routing import Call
from functions.api.target import Target
from functions.api.views import existing, shown
from functions.ports.requests import Change, DeliveryView

SETTLED = "settled"
MAX_NUMBER = 2**63 - 1  # what a store counts to
MAX_CHANGES = 200  # at a time, so that little is held for a client that reads slowly
KEEP_ALIVE = b": nothing new\n\n"


class Streamed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A server-sent event.

    Attributes:
        data: JSON, of the shape that the event's name stands for (docs/api.md).
        id: Where a client goes on after it; the first event has none.
    """

    event: Literal["request", "delivery", "tokens", "settled"]
    data: str
    id: str = ""


def watch_request(target: Target, call: Call) -> Reply:
    """A stream from where the client left off; 204 where it has everything."""
    request = call.path["request"]
    view = existing(target, request, call.tenant)
    place = place_of(call.headers.get("Last-Event-ID", ""), request)
    if place == SETTLED and view.status == SETTLED:
        return HttpResponse(status=204)
    if place == SETTLED:
        raise _foreign()
    return Stream(request=request, tenant=call.tenant, after=int(place))


class Happened(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event of a stream, however it is sent; see `Streamed`."""

    event: str
    id: str = ""
    data: msgspec.Raw


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream sends next; see `Chunk`."""

    events: tuple[Happened, ...]
    stream: Stream
    ended: bool
    more: bool


def follow(target: Target, stream: Stream) -> Chunk:
    """What a stream of server-sent events sends next: nothing where nothing happened."""
    found = news(target, stream)
    return Chunk(body=b"".join(map(_sent, found.events)), stream=found.stream, ended=found.ended, more=found.more)


def news(target: Target, stream: Stream) -> News:
    """What happened since a stream was sent something."""
    view = target.requests.view(stream.request, tenant=stream.tenant)
    if view is None:  # it was removed for its age
        return News(events=(), stream=stream, ended=True, more=False)
    events = [] if stream.opened else [_happened("request", shown(target, view, stream.tenant), "")]
    # read after the view: where that says settled, everything before it is among the changes
    changes = target.requests.changes(stream.request, tenant=stream.tenant, after=stream.after)
    sent = changes[:MAX_CHANGES]
    events += [_changed(stream.request, change) for change in sent]
    more = len(changes) > len(sent)
    ended = view.status == SETTLED and not more
    if ended:
        events.append(_happened(SETTLED, shown(target, view, stream.tenant), f"{stream.request}:{SETTLED}"))
    after = sent[-1].number if sent else stream.after
    moved = msgspec.structs.replace(stream, after=after, opened=True)
    return News(events=tuple(events), stream=moved, ended=ended, more=more)


def _changed(request: str, change: Change) -> Happened:
    name = "delivery" if isinstance(change.view, DeliveryView) else "tokens"
    return _happened(name, change.view, f"{request}:{change.number}")


def _happened(name: str, data: object, event_id: str) -> Happened:
    return Happened(event=name, id=event_id, data=msgspec.Raw(msgspec.json.encode(data)))


def _sent(happened: Happened) -> bytes:
    """As a server-sent event."""
    identified = f"id: {happened.id}\n" if happened.id else ""
    return f"{identified}event: {happened.event}\n".encode() + b"data: " + bytes(happened.data) + b"\n\n"


def place_of(last_event_id: str, request: str) -> str:
    """What the last event's id says beside the request: a number, or `settled`.

    Raises:
        ProblemError: 400: it is the id of no event of this request.
    """
    if not last_event_id:
        return "0"
    owner, _, place = last_event_id.rpartition(":")
    is_number = place.isascii() and place.isdecimal() and len(place) <= len(str(MAX_NUMBER))
    if owner != request or not (place == SETTLED or (is_number and int(place) <= MAX_NUMBER)):
        raise _foreign()
    return place


def _foreign() -> Exception:
    detail = "is the id of no event of this request: leave it out to begin anew"
    return wrong(400, "the headers", [Wrong(parameter="Last-Event-ID", detail=detail)])
