"""The desk: hears what may have settled a request, and starts the next one of its conversation.

It is the only function beside the API that may publish the events that requests begin with.
"""

from collections.abc import Mapping
from typing import Any

from functions.adapters.items.requests import ItemRequests
from functions.entry_points.aws.batch import EventFilter, each
from functions.entry_points.aws.invocation import LambdaContext
from functions.entry_points.aws.services import services


def heard(event: Mapping[str, Any], requests: ItemRequests, event_filter: EventFilter) -> dict[str, Any]:
    """What Lambda is answered for a batch of settlements."""

    def go_on(raw: bytes) -> None:
        envelope = event_filter.accepted(raw)
        if envelope is not None:
            requests.go_on(envelope)

    return each(event, go_on)


def handler(event: Mapping[str, Any], context: LambdaContext) -> dict[str, Any]:
    """What Lambda calls."""
    found = services().begun(context)
    return heard(event, found.requests, found.event_filter)
