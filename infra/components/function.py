"""What every function is given, be it an agent's or a service's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import pulumi

from functions.entry_points.aws.environment import Contract, Declared
from functions.runtime.workflow import Plan
from infra.components.blob_store import BlobStore
from infra.components.code import Uploaded
from infra.components.common import Common, Platform
from infra.components.event_bus import EventBus
from infra.components.event_route import EventRoute
from infra.components.state_store import StateStore


class Socket(Protocol):
    """Where connections of the WebSocket are posted to."""

    url: pulumi.Output[str]
    arn: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What functions work with. A function is told of what its policy lets it reach, and of no more.

    Attributes:
        routes: By consumer: each agent, and each service that works from a queue.
        secrets: The reference of each secret, by what it is for.
        models: What the cloud calls the models that may be asked.
        settings: Those that one machine has too, e.g. `TROUPE_MODEL`.
        collections: What is declared.
        contract: What the stack changes in deliveries.
    """

    plans: Sequence[Plan]
    bus: EventBus
    state: StateStore
    blobs: BlobStore
    routes: Mapping[str, EventRoute]
    socket: Socket | None = None
    secrets: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    models: tuple[str, ...] = ()
    settings: Mapping[str, pulumi.Input[str]] = field(default_factory=dict)
    collections: Mapping[str, Declared] = field(default_factory=dict)
    contract: Contract = field(default_factory=Contract)
    budget_tokens: int | None = None
    budget_micros: int | None = None
    tenant_claim: str = "tenant"


@dataclass(frozen=True, kw_only=True)
class FunctionArgs:
    """One function.

    Attributes:
        function: The agent's name, or the service's.
        concurrency: How many messages it works on at once; as many as come, where it is None.
        warm: How many environments stay ready.
        snap_start: Whether an environment starts from a snapshot of one that was ready.
    """

    common: Common
    platform: Platform
    surroundings: Surroundings
    function: str
    code: Uploaded
    memory_mb: int = 512
    timeout_s: int = 30
    concurrency: int | None = None
    warm: int = 0
    snap_start: bool = False


class Function(Protocol):
    """Whoever calls it calls `target`, which a deploy switches at once."""

    name: pulumi.Output[str]
    target: pulumi.Output[str]
    qualifier: pulumi.Output[str]
    invoke: pulumi.Output[str]
