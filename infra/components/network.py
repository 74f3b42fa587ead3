"""A network that only functions and the stack's own server stand in: nothing in it has a public address."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pulumi

from infra.components.common import Common
from infra.settings import NetworkSettings


@dataclass(frozen=True, kw_only=True)
class NetworkArgs:
    """The network.

    Attributes:
        settings: Its addresses, and whether what is outside can be reached.
        services: What is called in it by endpoints that cost, as the cloud calls it.
        ports: At which functions call services by URL, beside that of HTTPS.
    """

    common: Common
    settings: NetworkSettings
    services: Sequence[str]
    ports: Sequence[int] = ()


class Network(Protocol):
    """Where to stand.

    Attributes:
        address: One in the first subnet that nobody is given but the stack's own server: known before anything is made.
    """

    vpc: pulumi.Output[str]
    address: str
    subnets: tuple[pulumi.Output[str], ...]
    zones: tuple[str, ...]
    functions: pulumi.Output[str]
