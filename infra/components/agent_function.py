"""The function of one agent: its signature says what it may do, its file how much memory and time it has."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi

from functions.entry_points.aws.environment import Deployed
from functions.runtime.workflow import Plan
from infra.components.common import Bundle, Common, Platform, Stores
from infra.components.event_route import EventRoute
from infra.components.service_function import ServiceFunction
from infra.settings import AgentSettings

AgentFunction = ServiceFunction  # what others need of it is the same


@dataclass(frozen=True, kw_only=True)
class AgentFunctionArgs:
    """One agent.

    Attributes:
        agent: Its name.
        plans: The workflows that are deployed.
        stores: What it works with.
        routes: Of every agent: its own, and the queues of the joins that it tells of something later.
        deployed: What every function is told; what is this one's own is filled in.
        settings: What the stack changes for it.
    """

    common: Common
    platform: Platform
    agent: str
    plans: Sequence[Plan]
    bundle: Bundle
    stores: Stores
    routes: Mapping[str, EventRoute]
    deployed: pulumi.Input[Deployed]
    settings: AgentSettings = field(default_factory=AgentSettings)
