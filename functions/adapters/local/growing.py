"""A text as it is written, on SQLite: a row a piece, and every row costs a commit.

So the first piece is written at once, those after it together, about ten times a second; a reader never waits
longer for what is there, and a fast model costs no more than a slow one.
"""

import sqlite3
import time
from collections.abc import Callable

from functions.adapters.local.bus import Bus

PAUSE_S = 0.1  # between two rows


class LocalGrowing:
    """The `Growing` port for one attempt of one delivery."""

    def __init__(  # noqa: PLR0913 - each is a column, but for the clock
        self,
        bus: Bus,
        *,
        tenant: str,
        request: str,
        agent: str,
        attempt: int,
        elapsed: Callable[[], float] = time.monotonic,
    ) -> None:
        self._bus = bus
        self._tenant, self._request, self._agent, self._attempt = tenant, request, agent, attempt
        self._elapsed = elapsed
        self._held: list[str] = []
        self._position = 0
        self._next = 0.0

    def grow(self, text: str) -> None:
        """See `Growing.grow`."""
        if text:
            self._held.append(text)
        if self._elapsed() >= self._next:
            self.end()

    def end(self) -> None:
        """See `Growing.end`."""
        text, self._held = "".join(self._held), []
        if not text:
            return
        position, self._position = self._position, self._position + len(text)
        self._bus.store.write(lambda connection: self._add(connection, position, text))
        self._next = self._elapsed() + PAUSE_S
        self._bus.watchers.announce(self._request, tenant=self._tenant)

    def _add(self, connection: sqlite3.Connection, position: int, text: str) -> None:
        connection.execute(
            "INSERT INTO written (tenant, request, changed, agent, attempt, position, text)"
            " SELECT tenant, request, ?, ?, ?, ?, ? FROM request WHERE tenant = ? AND request = ?",  # unless erased
            (self._bus.next_change(), self._agent, self._attempt, position, text, self._tenant, self._request),
        )
