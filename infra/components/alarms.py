"""Who is told when something stands still, fails or costs too much."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from infra.components.common import Common
from infra.components.event_bus import EventBus
from infra.components.event_route import EventRoute
from infra.components.function import Function
from infra.settings import AlarmSettings


@dataclass(frozen=True, kw_only=True)
class AlarmsArgs:
    """What is watched.

    Attributes:
        settings: Who is told, and from when on.
        bus: Whose net is watched too, where it has one.
        routes: By consumer.
        functions: By name.
        usd_per_month: What the account may cost; None for no such alarm.
    """

    common: Common
    settings: AlarmSettings
    bus: EventBus
    routes: Mapping[str, EventRoute] = field(default_factory=dict)
    functions: Mapping[str, Function] = field(default_factory=dict)
    usd_per_month: float | None = None
