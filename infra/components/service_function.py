"""A function that is no agent: the API's, the sweeper, the keeper, whoever hears how requests end."""

from collections.abc import Iterator
from typing import Final

from infra.components.event_route import reads_uploads
from infra.components.function import Function
from infra.settings import ApiSettings, Settings

ServiceFunction = Function  # what others need of it
ON_THE_WAY: Final = ("api", "authorizer", "socket", "desk", "pusher")


def warm_of(service: str, chosen: Settings) -> int:
    """How many environments of a service stay ready: of those that a caller or an answer waits for."""
    return chosen.warm if service in ON_THE_WAY else 0


def knows_keys(api: ApiSettings) -> bool:
    """Whether somebody is let in by a key: to all of it, or to the WebSocket beside tokens, which it does not know."""
    return api.auth == "api-key" or (api.auth == "jwt" and api.websocket)


def deployed_services(chosen: Settings) -> Iterator[str]:
    """The services of a stack, by name."""
    yield from ("api", "desk", "sweeper", "keeper")
    if knows_keys(chosen.api):
        yield "authorizer"
    if chosen.api.websocket:
        yield from ("socket", "pusher")
    if reads_uploads(chosen):
        yield "uploads"
