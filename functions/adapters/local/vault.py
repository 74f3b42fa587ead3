"""The `Vault` port in the store: an original is a row, encrypted before it comes here."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime

import msgspec

from functions.adapters.local.store import Store, utc
from functions.ports.personal import Original

# What is there already is sealed anew, so that a key can be retired once all that it sealed has expired.
_PUT = """
INSERT INTO original (tenant, token, sealed, expires) VALUES (?, ?, ?, ?)
ON CONFLICT (tenant, token) DO UPDATE SET sealed = excluded.sealed, expires = max(expires, excluded.expires)
"""
_GET = """
SELECT token, sealed, expires FROM original
WHERE tenant = ? AND token IN (SELECT value FROM json_each(?)) AND expires > ?
"""


class LocalVault:
    """The originals of one machine."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def put(self, originals: Sequence[Original], *, tenant: str) -> None:
        """See `Vault.put`."""
        rows = [(tenant, each.token, each.sealed, each.expires_at.timestamp()) for each in originals]
        self._store.write(lambda connection: connection.executemany(_PUT, rows).rowcount)

    def get(self, tokens: Sequence[str], *, tenant: str, now: datetime) -> Sequence[Original]:
        """See `Vault.get`."""
        rows = self._store.read(_GET, (tenant, msgspec.json.encode(list(tokens)).decode(), now.timestamp()))
        return [Original(token=token, sealed=sealed, expires_at=utc(expires)) for token, sealed, expires in rows]

    def expire(self, now: datetime) -> int:
        """See `Vault.expire`."""
        return self._store.write(
            lambda connection: (
                connection.execute("DELETE FROM original WHERE expires <= ?", (now.timestamp(),)).rowcount
            )
        )


def seals_in(store: Store, now: datetime, length: int) -> set[bytes]:
    """The first bytes, the id of the key, of each original that is not expired."""
    rows = store.read("SELECT DISTINCT substr(sealed, 1, ?) FROM original WHERE expires > ?", (length, now.timestamp()))
    return {bytes(row[0]) for row in rows}


def key_of(store: Store) -> bytes | None:
    """The id of the key that makes the tokens in a store; None where there are none yet."""
    rows = store.read("SELECT id FROM token_key")
    return bytes(rows[0][0]) if rows else None


def keep_key(store: Store, key: bytes) -> None:
    """From now on, the key of this id makes the tokens."""

    def step(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM token_key")
        connection.execute("INSERT INTO token_key VALUES (?)", (key,))

    store.write(step)
