"""The stop switch on SQLite: a row a scope, read by every begin, and known in memory to who looks more often."""

import sqlite3
from collections.abc import Sequence

from functions.adapters.local.store import Store, utc
from functions.ports.stops import STACK, Scope, Stop, key_of, keys, scope_of

_FOUND = (
    "SELECT scope, reason, who, at FROM stopped WHERE scope IN (?, ?, ?) ORDER BY scope = ? DESC, scope DESC LIMIT 1"
)


class LocalStops:
    """The `Stops` port. What other processes stopped is in memory once `look` was called."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: frozenset[str] = frozenset()
        self.look()

    def look(self) -> None:
        """Learn what is stopped now."""
        self._known = frozenset(key_of(stop.scope) for stop in self.listed())

    def stop(self, stop: Stop) -> None:
        """See `Stops.stop`."""
        row = (key_of(stop.scope), stop.reason, stop.by, stop.at.timestamp())
        self._store.write(
            lambda connection: connection.execute(
                "INSERT OR REPLACE INTO stopped (scope, reason, who, at) VALUES (?, ?, ?, ?)", row
            )
        )
        self.look()

    def resume(self, scope: Scope) -> bool:
        """See `Stops.resume`."""
        delete = "DELETE FROM stopped WHERE scope = ?"
        removed = self._store.write(lambda connection: connection.execute(delete, (key_of(scope),)).rowcount)
        self.look()
        return removed > 0

    def listed(self) -> Sequence[Stop]:
        """See `Stops.listed`."""
        return [
            _stop(*row) for row in self._store.read("SELECT scope, reason, who, at FROM stopped ORDER BY at, scope")
        ]

    def found(self, *, tenant: str, conversation: str, workflow: str) -> Stop | None:
        """See `Stops.found`."""
        rows = self._store.read(_FOUND, (*keys(tenant, conversation, workflow), STACK))
        return _stop(*rows[0]) if rows else None

    def known(self, *, tenant: str, conversation: str, workflow: str) -> Stop | None:
        """The same for whoever asks at every token: the store is read where a stop is known, which may be over."""
        if self._known.isdisjoint(keys(tenant, conversation, workflow)):
            return None
        return self.found(tenant=tenant, conversation=conversation, workflow=workflow)


def found_in(connection: sqlite3.Connection, tenant: str, conversation: str, workflow: str) -> Stop | None:
    """See `Stops.found`; a step inside somebody's transaction."""
    row = connection.execute(_FOUND, (*keys(tenant, conversation, workflow), STACK)).fetchone()
    return _stop(*row) if row else None


def _stop(key: str, reason: str, by: str, at: float) -> Stop:
    return Stop(scope=scope_of(key), reason=reason, by=by, at=utc(at))
