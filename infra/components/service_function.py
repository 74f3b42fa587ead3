"""A function that is no agent: the API's, the sweeper, the keeper, whoever hears how requests end."""

from collections.abc import Iterator
from typing import Final

from functions.runtime.agent import Delivery
from functions.runtime.workflow import Plan
from infra.components.event_route import Heard, heard_by_desk, heard_by_pusher
from infra.components.function import Function
from infra.settings import Settings

ServiceFunction = Function  # what others need of it

TIMEOUT_S: Final = 30
#: Of whoever hears events; the functions behind queues retry as often as an agent does.
DELIVERY: Final = Delivery()


def deployed_services(settings: Settings) -> Iterator[str]:
    """The services of a stack, by name."""
    yield from ("api", "desk", "sweeper", "keeper")
    if settings.api.auth == "api-key" or (settings.api.websocket and settings.api.auth == "jwt"):
        yield "authorizer"
    if settings.api.websocket:
        yield from ("socket", "pusher")
    if settings.ingest and "ingest" in settings.workflows:
        yield "intake"


def heard_by_service(name: str, plans: list[Plan]) -> list[Heard]:
    """What a service works from; nothing where it is called."""
    if name == "desk":
        return list(heard_by_desk(plans))
    return list(heard_by_pusher(plans)) if name == "pusher" else []
