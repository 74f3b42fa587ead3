"""Connections that are told what happens to requests, on targets where somebody else holds them open."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

import msgspec

from functions.errors import TroupeError


class ConnectionGoneError(TroupeError):
    """The connection is closed: forget it."""


class TooManyWatchedError(TroupeError):
    """A connection watches as many requests as it may."""


class Connection(msgspec.Struct, frozen=True, kw_only=True):
    """An open connection.

    Attributes:
        name: As whoever holds it open knows it.
        tenant: Whose it is.
        until: When it will be closed, whatever happens.
    """

    name: str
    tenant: str
    until: datetime


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """A connection that watches a request.

    Attributes:
        deadline: Of the request.
        after: The number of the last change that was sent.
        opened: Whether the first event was sent.
        holder: Who sends now; empty where nobody does.
        held_until: From then on somebody else may take it over.
        notified: How often somebody came while it was held.
    """

    connection: Connection
    request: str
    deadline: datetime
    after: int = 0
    opened: bool = False
    holder: str = ""
    held_until: datetime | None = None
    notified: int = 0


class Sockets(Protocol):
    """The open connections of a stack, and what they watch."""

    def connect(self, connection: Connection) -> None:
        """Remember a connection."""
        ...

    def connection(self, name: str) -> Connection | None:
        """A connection; None where it is not known, or must be closed by now."""
        ...

    def forget(self, name: str) -> None:
        """Remove a connection, and everything that it watches."""
        ...

    def watch(self, watch: Watch) -> None:
        """From now on a connection watches a request; once more, it begins where this says.

        Raises:
            TooManyWatchedError: It watches as many as it may.
        """
        ...

    def unwatch(self, watch: Watch) -> None:
        """It does not any more."""
        ...

    def watching(self, request: str, *, tenant: str) -> Sequence[Watch]:
        """Who watches a request."""
        ...

    def overdue(self, limit: int) -> Sequence[Watch]:
        """What watches a request whose deadline is over: what ended it may have told nobody."""
        ...

    def put_off(self, watch: Watch) -> None:
        """Telling it failed: whatever else is overdue by now comes before it."""
        ...

    def hold(self, watch: Watch) -> Watch | None:
        """The same as it stands, ours alone for a while; None where somebody holds it, who is told, or it is gone.

        Whoever holds it sends what happened, then gives it back.
        """
        ...

    def give_back(self, held: Watch) -> Watch | None:
        """Give it back as far as it was sent; held again where somebody came meanwhile, so that there is more."""
        ...
