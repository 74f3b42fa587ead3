"""Whose the points of the collections are: recorded before a point is stored, so that no point is without its row."""

import sqlite3
import threading
from collections.abc import Callable, Sequence
from datetime import datetime

from functions.adapters.local.store import Store
from functions.adapters.recorded import recorded
from functions.events.common import Passage
from functions.ports.personal import TOKEN, Tokenizer
from functions.ports.vectors import Upsert
from functions.runtime.delivery import Binding


class Holding:
    """The points that agents stored, by conversation; one for a process, since it says who may store now.

    Args:
        tokenizer: Takes personal data out of what is recorded; without one, it stays.

    Attributes:
        storing: Held by whoever stores points or erases some, so that no point comes back after its erasure.
    """

    def __init__(self, store: Store, now: Callable[[], datetime], tokenizer: Tokenizer | None = None) -> None:
        self._store = store
        self._tokenizer = tokenizer
        self._now = now
        self.storing = threading.Lock()

    def hold(self, passages: Sequence[Passage], collection: str, binding: Binding) -> bool:
        """Record what a delivery is about to store; False where its conversation was erased meanwhile."""
        at = self._now().timestamp()
        held = [(each.id, recorded(each, binding.tenant, self._tokenizer)) for each in passages]
        rows = [(binding.conversation, collection, point, passage, at) for point, passage in held]

        def step(connection: sqlite3.Connection) -> bool:
            request = (binding.tenant, binding.request)
            is_there = connection.execute("SELECT 1 FROM request WHERE tenant = ? AND request = ?", request).fetchone()
            if is_there:
                connection.executemany(
                    "INSERT OR REPLACE INTO held (tenant, conversation, collection, point, passage, at)"
                    " VALUES (?, ?, ?, ?, ?, ?)",
                    [(binding.tenant, *row) for row in rows],
                )
            return is_there is not None

        return self._store.write(step)


def tokens_held(connection: sqlite3.Connection, conversation: str, tenant: str) -> list[str]:
    """The tokens in what the conversation stored."""
    query = "SELECT passage FROM held WHERE tenant = ? AND conversation = ?"
    passages = (passage for (passage,) in connection.execute(query, (tenant, conversation)))
    return sorted({token for passage in passages for token in TOKEN.findall(passage.decode())})


class LocalUpsert:
    """The `Upsert` capability, bound to one delivery: what it stores is held by its conversation.

    Args:
        upsert: What stores, within the tenant of the delivery.
        collection: Its key.
    """

    def __init__(self, holding: Holding, upsert: Upsert, collection: str, binding: Binding) -> None:
        self._holding = holding
        self._upsert = upsert
        self._collection = collection
        self._binding = binding

    def upsert(self, passages: Sequence[Passage], *, ttl_s: float | None = None) -> None:
        """See `Upsert.upsert`; what was erased stores nothing."""
        with self._holding.storing:
            if self._holding.hold(passages, self._collection, self._binding):
                self._upsert.upsert(passages, ttl_s=ttl_s)
