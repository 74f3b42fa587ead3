"""The pusher: hears every event of the stack, and tells the connections that watch its request what happened."""

from collections.abc import Mapping
from typing import Any

from functions.api.pushing import Post, push
from functions.api.target import Target
from functions.entry_points.aws.batch import EventFilter, each
from functions.entry_points.aws.invocation import LambdaContext
from functions.entry_points.aws.services import services
from functions.ports.sockets import Sockets


def heard(
    event: Mapping[str, Any], target: Target, sockets: Sockets, post: Post, event_filter: EventFilter
) -> dict[str, Any]:
    """What Lambda is answered for a batch of events; one connection that fails does not hold up the others."""

    def tell(raw: bytes) -> None:
        envelope = event_filter.accepted(raw)
        if envelope is None:
            return
        failed = list[Exception]()
        for watch in sockets.watching(envelope.request, tenant=envelope.tenant):
            try:
                push(target, sockets, post, watch)
            except Exception as error:  # noqa: BLE001 - whatever a connection raises, the next one is told
                failed.append(error)
        if failed:
            raise failed[0]

    return each(event, tell)


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What Lambda calls."""
    found = services().begun(context)
    return heard(event, found.pushed, found.sockets, found.connections.post, found.event_filter)
