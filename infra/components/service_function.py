"""A function that is no agent: the API's, the sweeper, the keeper, whoever hears how requests end."""

from collections.abc import Iterator

from infra.components.function import Function
from infra.settings import Settings

ServiceFunction = Function  # what others need of it


def deployed_services(chosen: Settings) -> Iterator[str]:
    """The services of a stack, by name."""
    yield from ("api", "desk", "sweeper", "keeper")
    if chosen.api.auth == "api-key":
        yield "authorizer"
    if chosen.api.websocket:
        yield from ("socket", "pusher")
    if chosen.ingest and "ingest" in chosen.workflows:
        yield "uploads"
