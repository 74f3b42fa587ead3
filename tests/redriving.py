"""The dead letters of a harness, as a command beside its process redrives them."""

from collections.abc import Callable, Sequence
from typing import Any

from harness import Harness
from memory_target import MemoryTarget

from functions.adapters.local.dead_letters import LocalDeadLetters
from functions.adapters.local.rows import Routes
from functions.adapters.local.sharing import learn_plans
from functions.adapters.local.store import Store
from functions.ports.dead_letters import DeadLetters, LetterFilter, LetterView, Redrive
from functions.runtime.workflow import Plan

Driven = Harness | MemoryTarget  # a target that a test drives by hand


def letters_of(
    troupe: Driven,
    *,
    plans: Sequence[Plan] | None = None,
    in_doubt: Callable[[str, str], bool] = lambda _tenant, _request: False,
) -> DeadLetters:
    """The port, with what it publishes held by the process of the harness; with other plans than that, where given."""
    if isinstance(troupe, MemoryTarget):
        return troupe.dead_letters_port(plans=plans, in_doubt=in_doubt)
    routes = troupe.bus.routes if plans is None else Routes(plans)
    announce = troupe.bus.announce
    return LocalDeadLetters(troupe.store, routes, troupe.blobs, troupe.clock, announce=announce, in_doubt=in_doubt)


def find(troupe: Driven, **wanted: Any) -> Sequence[LetterView]:
    """The letters that are meant."""
    return letters_of(troupe).find(LetterFilter(**wanted))


def redrive(troupe: Driven, **wanted: Any) -> Sequence[Redrive]:
    """Redrive the letters that are meant."""
    return letters_of(troupe).redrive(find(troupe, **wanted))


def redrive_beside(troupe: Harness, **wanted: Any) -> Sequence[Redrive]:
    """The same from another process, which delivers nothing itself."""
    store = Store(troupe.folder)
    try:
        routes = Routes(troupe.plans.values())
        learn_plans(store, routes, routes.versions)
        beside = LocalDeadLetters(store, routes, troupe.blobs, troupe.clock)
        return beside.redrive(beside.find(LetterFilter(**wanted)))
    finally:
        store.close()
        troupe.bus.look_around()


def carried_on(redrives: Sequence[Redrive]) -> str:
    """The one request that all of these letters go on under."""
    (request,) = {each.request for each in redrives}
    assert not any(each.refused for each in redrives)
    return request
