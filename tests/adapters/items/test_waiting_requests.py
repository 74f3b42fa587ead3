"""What waits for its turn over items: under which plan it begins, and what a deploy ends of it."""

import msgspec
from memory_target import MemoryTarget
from sample_workflows import SINGLE, Asked, ListAsked

from functions.adapters.items.requests import ItemRequests
from functions.runtime.outputs import begun
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan

NEW = {name: msgspec.structs.replace(plan, version="new") for name, plan in topology(SINGLE).items()}
#: Of a deployment whose workflow of that name begins with another event.
OTHER = {"single": msgspec.structs.replace(NEW["single"], workflow=msgspec.structs.replace(SINGLE, entry=ListAsked))}


def waiting(count: int) -> MemoryTarget:
    """The first request runs and has its answer; so many wait behind it, which nobody has heard of yet."""
    troupe = MemoryTarget(SINGLE)
    for number in range(count + 1):
        troupe.requests.accept(troupe.opened(Asked(), request=f"r{number}"))
    message = troupe.take("work")
    troupe.handle("work", message.raw, troupe.ports())
    troupe.bus.messages.clear()
    return troupe


def deployed(troupe: MemoryTarget, plans: dict[str, Plan]) -> ItemRequests:
    """The desk of the next deployment, once it heard of the answer."""
    requests = ItemRequests(troupe.items, troupe.bus, plans, troupe.clock)
    troupe.bus.routes = type(troupe.bus.routes)(plans.values())
    first = troupe.requests.first("r0", tenant="default")
    assert first is not None
    requests.go_on(first)
    return requests


def test_a_message_that_has_not_begun_begins_under_the_plan_of_the_next_deployment() -> None:
    troupe = waiting(1)
    view = deployed(troupe, NEW).view("r1", tenant="default")
    assert view is not None
    assert view.status == "running"
    assert [envelope.planversion for envelope in troupe.queued()] == ["new"]


def test_however_many_messages_wait_that_cannot_begin_any_more_each_ends_and_is_closed() -> None:
    troupe = waiting(400)
    requests = deployed(troupe, OTHER)
    views = [requests.view(f"r{number}", tenant="default") for number in range(401)]
    assert {view.status for view in views if view is not None} == {"settled"}
    assert requests.depth("c1", tenant="default").open == 0


def test_an_event_that_redrives_and_one_that_no_plan_begins_with_keep_their_plan() -> None:
    troupe = MemoryTarget(SINGLE)
    first, now = troupe.opened(Asked()), troupe.clock()
    assert begun(first, NEW["single"], now).planversion == "new"
    for other, plan in [
        (msgspec.structs.replace(first, target="work"), NEW["single"]),
        (first, OTHER["single"]),
        (first, None),
    ]:
        assert begun(other, plan, now) == other
