"""What happens to a request, pushed to a connection that watches it: the events of a stream, a message each.

One at a time pushes to a watch. Who comes meanwhile leaves word, and whoever is at it looks again before they end: so
events arrive in order. Where that one dies or cannot send, what it sent comes again; a client may then see an event
twice, and knows it by the number in its id.
"""

from collections.abc import Callable
from typing import Final

import msgspec

from functions.api.events import Happened, news
from functions.api.http import Stream
from functions.api.target import Target
from functions.ports.sockets import ConnectionGoneError, Sockets, Watch

#: Sends a message to a connection by its name; raises ConnectionGoneError where it is closed.
Post = Callable[[str, bytes], None]

MOST_BYTES: Final = 128 * 1024  # of a message: API Gateway's
_NULL = msgspec.Raw(b"null")


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An event as a connection is told of it.

    Attributes:
        event: As in a stream; `accepted`, `pong` and `problem` beside those.
        to: The `id` of the message that it answers.
        data: As in a stream; null where it is larger than a message.
        see: Where the data is, where it is larger than a message.
    """

    event: str
    id: str = ""
    to: str = ""
    request: str = ""
    data: msgspec.Raw
    see: str = ""


def push(target: Target, sockets: Sockets, post: Post, watch: Watch) -> None:
    """Send a connection what happened to a request since it was sent something.

    What `post` raises comes out once the watch is given back: so the next event is sent, if this one is not.
    """
    held = sockets.hold(watch)
    while held is not None:
        try:
            found = _sent(target, post, held)
        except ConnectionGoneError:
            sockets.forget(held.connection.name)
            return
        except Exception:
            held = sockets.give_back(held)
            if held is None:
                raise
            continue  # whoever left word relies on this one to look
        if found is None:
            sockets.unwatch(held)
            return
        held = sockets.give_back(found)


def said(message: Message) -> bytes:
    """As it is sent; what is too large for a message says where it is."""
    raw = msgspec.json.encode(message)
    if len(raw) <= MOST_BYTES:
        return raw
    return msgspec.json.encode(msgspec.structs.replace(message, data=_NULL, see=f"/requests/{message.request}"))


def _sent(target: Target, post: Post, held: Watch) -> Watch | None:
    """The watch, once everything was sent that there is; None after the last event."""
    stream = Stream(request=held.request, tenant=held.connection.tenant, after=held.after, opened=held.opened)
    while True:
        found = news(target, stream)
        for happened in found.events:
            post(held.connection.name, said(_message(held.request, happened)))
        if found.ended:
            return None
        stream = found.stream
        if not found.more:
            return msgspec.structs.replace(held, after=stream.after, opened=stream.opened)


def _message(request: str, happened: Happened) -> Message:
    return Message(event=happened.event, id=happened.id, request=request, data=happened.data)
