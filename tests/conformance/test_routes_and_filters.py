"""Where an event goes."""

from typing import Annotated

import pytest
from guarantees import guarantee
from sample_workflows import CONTRACT, LOG, Answered, Asked
from target import Deploys

from functions.events.event import Event, Where
from functions.ports.conversations import Append
from functions.runtime.agent import agent
from functions.runtime.workflow import Workflow

ROUTES = guarantee("routes", "An event goes to the agents that consume its type in its workflow, and to no others.")
WHERE = guarantee("where", "`Where` narrows a route by priority or tenant: other events never reach its agent.")


class Listed(Event):
    text: str


@agent(delivery=CONTRACT)
def listing(event: Asked, *, log: Append) -> Listed:
    log.append("assistant", "listing")
    return Listed(text=event.text)


@agent(delivery=CONTRACT)
def reply(event: Listed, *, log: Append) -> Answered:
    log.append("assistant", "reply")
    return Answered(texts=(event.text,))


@agent(delivery=CONTRACT)
def audit(event: Annotated[Listed, Where(priority="high")], *, log: Append) -> None:
    log.append("assistant", f"audit {event.text}")


@agent(delivery=CONTRACT)
def bill(event: Annotated[Listed, Where(tenant="acme")], *, log: Append) -> None:
    log.append("assistant", f"bill {event.text}")


@agent(delivery=CONTRACT)
def other_reply(event: Asked, *, log: Append) -> Answered:
    log.append("assistant", "other reply")
    return Answered(texts=(f"other {event.text}",))


ONE = Workflow(name="one", agents=(listing, reply, audit, bill), entry=Asked, answer=Answered, resources=LOG)
OTHER = Workflow(name="other", agents=(other_reply,), entry=Asked, answer=Answered, resources=LOG)


@ROUTES
def test_an_event_goes_to_whoever_consumes_its_type_in_its_own_workflow(deploy: Deploys) -> None:
    troupe = deploy(ONE, OTHER)
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.script.calls == ["listing", "reply"]
    assert troupe.settlement() == Answered(texts=("a",))


@WHERE
@pytest.mark.parametrize(
    ("priority", "tenant", "reached"),
    [
        ("high", "default", {"audit a"}),
        ("normal", "acme", {"bill a"}),
        ("high", "acme", {"audit a", "bill a"}),
        ("low", "globex", set()),
    ],
)
def test_a_narrowed_route_takes_what_fits_and_nothing_else(
    deploy: Deploys, priority: str, tenant: str, reached: set[str]
) -> None:
    troupe = deploy(ONE)
    troupe.start(Asked(text="a"), priority=priority, tenant=tenant)
    troupe.run()
    assert set(troupe.script.calls) - {"listing", "reply"} == reached
    assert troupe.settlement(tenant=tenant) == Answered(texts=("a",))
    assert len(troupe.requests.deliveries("r1", tenant=tenant)) == 2 + len(reached)
