"""What the world reaches: the HTTP API, and the WebSocket that pushes progress. Nothing else of a stack is public."""

from dataclasses import dataclass
from typing import Protocol

import pulumi

from infra.components.common import Common
from infra.components.function import Function, Socket
from infra.settings import ApiSettings


@dataclass(frozen=True, kw_only=True)
class SocketAddressArgs:
    """The address alone: functions post to it, so it is there before they are.

    Attributes:
        settings: Its limits.
    """

    common: Common
    settings: ApiSettings


class SocketAddress(Socket, Protocol):
    """Also what routes are added to, and what browsers connect to."""

    public: pulumi.Output[str]
    api: pulumi.Output[str]
    calls: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class ApiArgs:
    """The API.

    Attributes:
        settings: Who is let in, from which pages, how often.
        api: Answers HTTP.
        authorizer: Says whose key it is; None where nobody comes with one.
        address: Of the WebSocket; None where there is none.
        socket: Answers its connections.
        log_retention_days: Of what was called.
    """

    common: Common
    settings: ApiSettings
    api: Function
    authorizer: Function | None
    address: SocketAddress | None
    socket: Function | None
    log_retention_days: int


class Api(Protocol):
    """Where it is."""

    url: pulumi.Output[str]
