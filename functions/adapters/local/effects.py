"""The ledger of effects on SQLite: a row an effect, written before its call and after it."""

import sqlite3
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Literal

import msgspec

from functions.adapters.local.store import Store, utc
from functions.errors import PermanentError
from functions.events.decoding import decoder
from functions.ports.actions import ActionResult
from functions.ports.effects import UNSETTLED, Effect, Sent, Status, renewed, settled

_COLUMNS = "key, request, conversation, action, status, sent, received, at"
_UNSETTLED = "status IN (" + ", ".join("?" * len(UNSETTLED)) + ")"


class LocalEffects:
    """The `Effects` port for one tenant."""

    def __init__(self, store: Store, now: Callable[[], datetime], *, tenant: str) -> None:
        self._store = store
        self._now = now
        self._tenant = tenant

    def find(self, key: str) -> Effect | None:
        """See `Effects.find`."""
        return next(iter(self._where("key = ?", key)), None)

    def begin(self, intent: Effect, *, key_lasts_s: float) -> Effect:
        """See `Effects.begin`."""

        def step(connection: sqlite3.Connection) -> Effect | None:
            row = connection.execute(
                f"SELECT {_COLUMNS} FROM effect WHERE tenant = ? AND key = ?",  # noqa: S608 - the names above
                (self._tenant, intent.key),
            ).fetchone()
            effect = renewed(_effect(row) if row else None, intent, key_lasts_s)
            written = connection.execute(
                f"INSERT OR REPLACE INTO effect (tenant, {_COLUMNS}) SELECT ?, ?, ?, ?, ?, ?, ?, ?, ?"  # noqa: S608
                " WHERE EXISTS (SELECT 1 FROM request WHERE tenant = ? AND request = ?)",
                (self._tenant, *_row(effect), self._tenant, intent.request),
            )
            return effect if written.rowcount else None

        effect = self._store.write(step)
        if effect is None:
            raise PermanentError(f"the action {intent.action} was not sent: its request was erased", reason="erased")
        return effect

    def end(self, key: str, status: Status, received: ActionResult | None = None) -> None:
        """See `Effects.end`."""
        self._store.write(
            lambda connection: connection.execute(
                f"UPDATE effect SET status = ?, received = ? WHERE tenant = ? AND key = ? AND {_UNSETTLED}",  # noqa: S608
                (status, _json(received), self._tenant, key, *UNSETTLED),
            )
        )

    def effects(self, *, conversation: str | None = None) -> Sequence[Effect]:
        """See `Effects.effects`."""
        return self._where("?1 IS NULL OR conversation = ?1", conversation)

    def in_doubt(self, request: str) -> Sequence[Effect]:
        """See `Effects.in_doubt`."""
        return self._where(f"request = ? AND {_UNSETTLED}", request, *UNSETTLED)

    def settle(self, key: str, status: Literal["done", "not done"]) -> Effect:
        """See `Effects.settle`."""
        effect = settled(self.find(key), key, status, self._now())
        self.end(key, status, effect.received)
        return effect

    def _where(self, condition: str, *parameters: object) -> list[Effect]:
        rows = self._store.read(
            f"SELECT {_COLUMNS} FROM effect WHERE ({condition}) AND tenant = ? ORDER BY at, key",  # noqa: S608
            (*parameters, self._tenant),
        )
        return [_effect(row) for row in rows]


def _row(effect: Effect) -> tuple[object, ...]:
    return (
        effect.key,
        effect.request,
        effect.conversation,
        effect.action,
        effect.status,
        _json(effect.sent),
        _json(effect.received),
        effect.at.timestamp(),
    )


def _json(value: msgspec.Struct | None) -> bytes | None:
    return None if value is None else msgspec.json.encode(value)


def _effect(row: Sequence[Any]) -> Effect:
    key, request, conversation, action, status, sent, received, at = row
    return Effect(
        key=key,
        request=request,
        conversation=conversation,
        action=action,
        status=status,
        sent=decoder(Sent).decode(sent),
        received=None if received is None else decoder(ActionResult).decode(received),
        at=utc(at),
    )
