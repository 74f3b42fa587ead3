"""What a stack costs in a month while nobody asks anything: all that is kept ready or stays on. Use comes on top.

The list prices are those of us-east-1. AWS's own pages load theirs by script, so that no stored copy of them has the
numbers: each is as others quote the page named beside it, on the day that it says, and none was read from AWS itself.
Another region's differ: look yours up.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Final

import msgspec

from functions.runtime.workflow import Plan
from infra.aws.endpoints import interface_endpoints
from infra.components.function import FunctionArgs
from infra.components.service_function import deployed_services, warm_of
from infra.settings import Settings

REGION: Final = "us-east-1"
HOURS: Final = 730  # of a month, as AWS counts
_SECONDS: Final = HOURS * 3600
_MB: Final = 1024
_ALARMS_OF_ROUTE: Final = 2  # dead letters, age of the oldest message
_ALARMS_OF_FUNCTION: Final = 2  # errors, throttles


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A list price.

    Attributes:
        usd: For one unit, in US dollars.
        unit: What that is.
        seen: The day of the newest source that has it, or on which sources without a day had it.
        source: AWS's page, by its title.
    """

    usd: float
    unit: str
    seen: date
    source: str


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What one thing costs in a month.

    Attributes:
        usd: In US dollars; None where no list price is known.
    """

    what: str
    usd: float | None


_JUNE: Final = date(2026, 6, 13)
_LAMBDA, _VPC, _EC2 = "AWS Lambda pricing", "Amazon VPC pricing", "Amazon EC2 On-Demand pricing"

WARM: Final[Mapping[str, Listed]] = {
    "arm64": Listed(usd=0.0000033334, unit="GB and second", seen=_JUNE, source=_LAMBDA),
    "x86_64": Listed(usd=0.0000041667, unit="GB and second", seen=_JUNE, source=_LAMBDA),
}
ENDPOINT: Final = Listed(usd=0.01, unit="zone and hour", seen=_JUNE, source="AWS PrivateLink pricing")
NAT: Final = Listed(usd=0.045, unit="hour", seen=_JUNE, source=_VPC)
ADDRESS: Final = Listed(usd=0.005, unit="hour", seen=_JUNE, source=_VPC)
VOLUME: Final = Listed(usd=0.08, unit="GB and month", seen=_JUNE, source="Amazon EBS pricing")  # gp3
SNAPSHOT: Final = Listed(usd=0.05, unit="GB and month", seen=date(2026, 11, 23), source="Amazon EBS pricing")
KEY: Final = Listed(usd=1.00, unit="month", seen=date(2026, 3, 14), source="AWS KMS pricing")
SECRET: Final = Listed(usd=0.40, unit="month", seen=_JUNE, source="AWS Secrets Manager pricing")
ALARM: Final = Listed(usd=0.10, unit="month", seen=_JUNE, source="Amazon CloudWatch pricing")
SERVERS: Final[Mapping[str, Listed]] = {
    name: Listed(usd=usd, unit="hour", seen=_JUNE, source=_EC2)
    for name, usd in {
        "t4g.micro": 0.0084,
        "t4g.small": 0.0168,
        "t4g.medium": 0.0336,
        "t4g.large": 0.0672,
        "t4g.xlarge": 0.1344,
        "t4g.2xlarge": 0.2688,
        "t3.micro": 0.0104,
        "t3.small": 0.0208,
        "t3.medium": 0.0416,
        "t3.large": 0.0832,
        "t3.xlarge": 0.1664,
        "t3.2xlarge": 0.3328,
        "m7g.large": 0.0816,
    }.items()
}


def warm(settings: Settings, plans: Mapping[str, Plan]) -> list[Line]:
    """What stays ready or on, a line each."""
    return [*_functions(settings, plans), *_server(settings), *_network(settings), *_rest(settings, plans)]


def total(lines: Iterable[Line]) -> float:
    """Of all lines with a price."""
    return sum(line.usd for line in lines if line.usd is not None)


def told(settings: Settings, plans: Mapping[str, Plan]) -> str:
    """How a preview ends."""
    lines = warm(settings, plans)
    width = max((len(line.what) for line in lines), default=0)
    said = [f"  {line.what:<{width}}  {'not known' if line.usd is None else f'{line.usd:9.2f}'}" for line in lines]
    unknown = "" if all(line.usd is not None for line in lines) else ", and what is not known"
    newest = max(listed.seen for listed in (*WARM.values(), ENDPOINT, NAT, VOLUME, KEY, SECRET, ALARM))
    return "\n".join(
        [
            "What stays on costs, in US dollars a month:",
            *said,
            f"  {'together':<{width}}  {total(lines):9.2f}{unknown}",
            f"List prices of {REGION} as of {newest}; your region's may differ. What requests use comes on top.",
        ]
    )


def _functions(settings: Settings, plans: Mapping[str, Plan]) -> Iterator[Line]:
    specs = {name: node.spec for plan in plans.values() for name, node in plan.nodes.items()}
    agents = {
        name: (agent.warm, agent.memory_mb or specs[name].memory_mb) for name, agent in sorted(settings.agents.items())
    }
    services = {name: (warm_of(name, settings), FunctionArgs.memory_mb) for name in sorted(deployed_services(settings))}
    for name, (count, memory) in (agents | services).items():
        if count:
            cost = WARM[settings.architecture].usd * count * memory / _MB * _SECONDS
            yield Line(what=f"{name}: {count} warm with {memory:,} MB", usd=cost)


def _server(settings: Settings) -> Iterator[Line]:
    vectors = settings.vectors
    if vectors.kind == "self-hosted":
        listed = SERVERS.get(vectors.instance)
        yield Line(what=f"vector server {vectors.instance}", usd=listed.usd * HOURS if listed else None)
        yield Line(what=f"its volume of {vectors.volume_gb:,} GB", usd=VOLUME.usd * vectors.volume_gb)
        if settings.protect:
            # blocks that changed from day to day come on top, and blocks that were never written cost nothing
            yield Line(what="its daily snapshots, once it is full", usd=SNAPSHOT.usd * vectors.volume_gb)


def _network(settings: Settings) -> Iterator[Line]:
    network = settings.network
    names = interface_endpoints(settings)
    if names:
        cost = ENDPOINT.usd * HOURS * len(names) * network.zones
        yield Line(what=f"endpoints in {_zones(network.zones)}: {', '.join(names)}", usd=cost)
    if network.vpc and network.nat:
        yield Line(what="NAT gateway and its address", usd=(NAT.usd + ADDRESS.usd) * HOURS)


def _rest(settings: Settings, plans: Mapping[str, Plan]) -> Iterator[Line]:
    if settings.encryption == "stack":
        yield Line(what="key of the stack", usd=KEY.usd)
    made = settings.vectors.kind == "self-hosted" and "vectors" not in settings.secrets
    secrets = len(set(settings.secrets.values())) + made
    if secrets:
        yield Line(what=f"secrets: {secrets}", usd=SECRET.usd * secrets)
    if settings.alarms:
        agents = {name for plan in plans.values() for name in plan.nodes}
        services = {*deployed_services(settings)}
        routes = len(agents) + len(services & {"desk", "pusher", "uploads"})
        of_bus = settings.encryption != "aws"
        alarms = _ALARMS_OF_ROUTE * routes + _ALARMS_OF_FUNCTION * len(agents | services) + of_bus
        yield Line(what=f"alarms: {alarms}", usd=ALARM.usd * alarms)


def _zones(count: int) -> str:
    return "1 zone" if count == 1 else f"{count} zones"
