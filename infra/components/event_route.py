"""The way of events from the bus, or the bucket, to one consumer: what it hears, its queue, and the net below both."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import pulumi

from functions.events.envelope import type_of
from functions.events.event import AgentFailed, Where
from functions.runtime.agent import AgentSpec, Backoff, Delivery
from functions.runtime.workflow import Plan
from infra.components.blob_store import BlobStore
from infra.components.common import Common
from infra.components.event_bus import EventBus
from infra.settings import AgentSettings, DeliverySettings, Settings

SERVICE_TIMEOUT_S = 30
#: Of an object: every ten minutes, for five hours in which too many others may wait.
UPLOADS_AGAIN_S = 570
UPLOADS_WAIT = Backoff(minimum_s=SERVICE_TIMEOUT_S + UPLOADS_AGAIN_S, maximum_s=SERVICE_TIMEOUT_S + UPLOADS_AGAIN_S)
UPLOADS = Delivery(attempts=30, backoff=UPLOADS_WAIT, max_age_s=6 * 3600)
ANYBODY = ""  # the target of an event that is meant for whoever subscribes


@dataclass(frozen=True, kw_only=True)
class Heard:
    """Some of the events of a bus.

    Attributes:
        workflows: Of these.
        types: Of these, e.g. `PlanCreated.v1`; of any where there are none.
        where: What narrows them further.
        target: Whom they are meant for; None for everything that is said.
    """

    workflows: tuple[str, ...]
    types: tuple[str, ...] = ()
    where: Where | None = None
    target: str | None = ANYBODY


@dataclass(frozen=True, kw_only=True)
class EventRouteArgs:
    """The route of one consumer.

    Attributes:
        consumer: The agent, or the service.
        bus: The name of the bus.
        heard: What goes to it.
        again_s: How long after the time of its function a message is seen again that the function left there.
        bucket: The ARN of the bucket whose objects are told to it; None for all but one.
        delivery: Attempts and the age at which an event is given up; the platform's own limits are set above.
        timeout_s: Of the consumer's function.
        dead_letter_retention_days: How long the net keeps what lands in it.
    """

    common: Common
    consumer: str
    bus: pulumi.Input[str]
    heard: Sequence[Heard]
    delivery: Delivery
    timeout_s: int
    dead_letter_retention_days: int
    again_s: int = 30
    bucket: pulumi.Input[str] | None = None


class EventRoute(Protocol):
    """The queue that a function works from, and the one below it.

    Attributes:
        slowest_s: How old a message gets where all is well: it waits for a retry, and that takes all the time it may.
    """

    queue_url: pulumi.Output[str]
    queue_arn: pulumi.Output[str]
    queue_name: pulumi.Output[str]
    dead_url: pulumi.Output[str]
    dead_arn: pulumi.Output[str]
    dead_name: pulumi.Output[str]
    slowest_s: int


def routes(
    chosen: Settings, common: Common, bus: EventBus, blobs: BlobStore, plans: Sequence[Plan]
) -> Iterator[EventRouteArgs]:
    """The route of every agent, and of the services that work from a queue."""

    def route(consumer: str, heard: Iterator[Heard], delivery: Delivery, timeout_s: int) -> EventRouteArgs:
        return EventRouteArgs(
            common=common,
            consumer=consumer,
            bus=bus.name,
            heard=tuple(heard),
            delivery=delivery,
            timeout_s=timeout_s,
            dead_letter_retention_days=chosen.dead_letter_retention_days,
        )

    for name, spec in {name: node.spec for plan in plans for name, node in plan.nodes.items()}.items():
        timeout_s = chosen.agents.get(name, AgentSettings()).timeout_s or spec.timeout_s
        yield route(name, heard_by_agent(name, plans), delivery_of(spec, chosen.delivery), timeout_s)
    yield route("desk", heard_by_desk(plans), Delivery(), SERVICE_TIMEOUT_S)
    if chosen.api.websocket:
        yield route("pusher", heard_by_pusher(plans), Delivery(), SERVICE_TIMEOUT_S)
    if reads_uploads(chosen):
        yield replace(route("uploads", iter(()), UPLOADS, SERVICE_TIMEOUT_S), bucket=blobs.arn, again_s=UPLOADS_AGAIN_S)


def reads_uploads(chosen: Settings) -> bool:
    """Whether objects that are put into the bucket are read."""
    return chosen.ingest and "ingest" in chosen.workflows


def delivery_of(spec: AgentSpec, given: DeliverySettings) -> Delivery:
    """What an agent's file says of its routes, but where the stack says otherwise."""
    own = spec.delivery
    least = given.backoff_min_s or own.backoff.minimum_s
    return Delivery(
        attempts=given.attempts or own.attempts,
        backoff=Backoff(minimum_s=least, maximum_s=given.backoff_max_s or max(least, own.backoff.maximum_s)),
        max_age_s=given.max_age_s or own.max_age_s,
    )


def heard_by_agent(agent: str, plans: Sequence[Plan]) -> Iterator[Heard]:
    """What its routes say, over all workflows; and what is aimed at it, of any type: a redrive, the parts of a join."""
    mine = [plan for plan in plans if agent in plan.nodes]
    for plan in mine:
        for event, routes in sorted(plan.routes.items()):
            for route in routes:
                if route.agent == agent:
                    types = (type_of(plan.events[event]),)
                    yield Heard(workflows=(plan.workflow.name,), types=types, where=route.where)
    yield Heard(workflows=tuple(sorted(plan.workflow.name for plan in mine)), target=agent)


def heard_by_desk(plans: Sequence[Plan]) -> Iterator[Heard]:
    """How requests end: by their answer, or by a failure that no join takes."""
    for plan in plans:
        ends = (type_of(plan.workflow.answer), type_of(AgentFailed))
        yield Heard(workflows=(plan.workflow.name,), types=ends)


def heard_by_pusher(plans: Sequence[Plan]) -> Iterator[Heard]:
    """Everything."""
    yield Heard(workflows=tuple(sorted(plan.workflow.name for plan in plans)), target=None)
