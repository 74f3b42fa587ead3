"""The `Collection` port in front of another one: small upserts that come at the same time are stored together.

Nobody waits while nobody else writes: the first call is stored at once, by itself. Those that come meanwhile are one
batch as soon as it ends, or after `delay_s` if it does not, stored by the first of them: there is no thread of its own
and no timer. A call returns when its own passages are stored, so that the next search finds them.
"""

import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from functions.events.common import Passage
from functions.ports.encoders import EncoderUnavailableError
from functions.ports.vector_stores import UnavailableError, VectorStoreError
from functions.ports.vectors import ANY, Collection, Only

DELAY_S: Final = 0.25
BATCH_PASSAGES: Final = 128

#: Whose passages, and how long they stay: what a batch has in common.
_Key = tuple[str, float | None]


@dataclass(eq=False)
class _Call:
    """One upsert, and what came of it."""

    passages: Sequence[Passage]
    is_taken: bool = False
    is_done: bool = False
    error: Exception | None = field(
        default_factory=lambda: UnavailableError("the write was cut off: store the passages again")
    )


@dataclass
class _Line:
    """Who waits to be stored, in the order of arrival, and how many batches are being stored."""

    waiting: list[_Call] = field(default_factory=list)
    batches: int = 0


class GatheringCollection:
    """One collection, with few large writes instead of many small ones. Safe to use from several threads.

    Args:
        collection: Where everything is; it is closed with this one.
        delay_s: How long an upsert waits at most for another one to end.
        batch_passages: A batch has no more. A call with more of them has nothing to gain, and goes past the others.
    """

    def __init__(
        self, collection: Collection, *, delay_s: float = DELAY_S, batch_passages: int = BATCH_PASSAGES
    ) -> None:
        self._collection = collection
        self._delay_s = delay_s
        self._batch_passages = batch_passages
        self._lines: dict[_Key, _Line] = {}
        self._calls = 0
        self._is_closed = False
        self._changed = threading.Condition()

    @property
    def name(self) -> str:
        """See `Collection.name`."""
        return self._collection.name

    @property
    def key(self) -> str:
        """See `Collection.key`."""
        return self._collection.key

    def upsert(self, passages: Sequence[Passage], *, tenant: str, ttl_s: float | None = None) -> None:
        """See `Collection.upsert`; what is wrong with the passages of one call is that call's alone."""
        with self._changed:
            if self._is_closed:
                raise VectorStoreError(f"the collection {self.name} was closed")
            self._calls += 1
        try:
            if len(passages) > self._batch_passages:
                self._collection.upsert(passages, tenant=tenant, ttl_s=ttl_s)
            else:
                self._gathered(_Call(passages), (tenant, ttl_s))
        finally:
            with self._changed:
                self._calls -= 1
                self._changed.notify_all()

    def search(
        self, text: str, *, limit: int, tenant: str, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Passage]:
        """See `Collection.search`."""
        return self._collection.search(text, limit=limit, tenant=tenant, only=only, minimum=minimum)

    def search_each(
        self, texts: Sequence[str], *, limit: int, tenant: str, only: Only = ANY, minimum: float = 0.0
    ) -> Sequence[Sequence[Passage]]:
        """See `Collection.search_each`."""
        return self._collection.search_each(texts, limit=limit, tenant=tenant, only=only, minimum=minimum)

    def read(self, ids: Iterable[str], *, tenant: str) -> Sequence[Passage]:
        """See `Collection.read`."""
        return self._collection.read(ids, tenant=tenant)

    def describe(self, passages: Sequence[Passage], *, tenant: str) -> None:
        """See `Collection.describe`."""
        self._collection.describe(passages, tenant=tenant)

    def delete(self, ids: Iterable[str], *, tenant: str) -> None:
        """See `Collection.delete`."""
        self._collection.delete(ids, tenant=tenant)

    def erase(self, ids: Iterable[str], *, tenant: str) -> None:
        """See `Collection.erase`."""
        self._collection.erase(ids, tenant=tenant)

    def expire(self) -> int:
        """See `Collection.expire`."""
        return self._collection.expire()

    def count(self, *, tenant: str) -> int:
        """See `Collection.count`."""
        return self._collection.count(tenant=tenant)

    def ids(self, *, tenant: str) -> Iterator[str]:
        """See `Collection.ids`."""
        return self._collection.ids(tenant=tenant)

    def close(self) -> None:
        """See `Collection.close`; what waits is stored before."""
        with self._changed:
            self._is_closed = True
            self._changed.wait_for(lambda: not self._calls)
        self._collection.close()

    def _gathered(self, call: _Call, key: _Key) -> None:
        batch = self._turn(call, key)
        if batch:
            self._write(batch, key)
        if call.error is not None:
            raise call.error

    def _turn(self, call: _Call, key: _Key) -> list[_Call]:
        """The batch that this caller stores; none where another one has stored what is its."""
        with self._changed:
            line = self._lines.setdefault(key, _Line())
            line.waiting.append(call)
            try:
                self._changed.wait_for(lambda: call.is_taken or _is_next(line, call), self._delay_s)
                if not call.is_taken:
                    return self._taken(line, call)
                self._changed.wait_for(lambda: call.is_done)
            except BaseException:
                if not call.is_taken:
                    self._leave(line, call, key)
                raise
        return []

    def _taken(self, line: _Line, first: _Call) -> list[_Call]:
        """A call, and as many of those that wait as fit into its batch."""
        line.waiting.remove(first)
        batch, room = [first], self._batch_passages - len(first.passages)
        while line.waiting and len(line.waiting[0].passages) <= room:
            batch.append(line.waiting.pop(0))
            room -= len(batch[-1].passages)
        for call in batch:
            call.is_taken = True
        line.batches += 1
        self._changed.notify_all()  # who is still there may be the next, and those of the batch wait for its end now
        return batch

    def _leave(self, line: _Line, call: _Call, key: _Key) -> None:
        """Let nobody wait for a caller who was interrupted."""
        line.waiting.remove(call)
        self._drop_empty(key)
        self._changed.notify_all()

    def _drop_empty(self, key: _Key) -> None:
        line = self._lines[key]
        if not line.waiting and not line.batches:
            del self._lines[key]

    def _write(self, batch: Sequence[_Call], key: _Key) -> None:
        try:
            self._store(batch, key)
        finally:
            with self._changed:
                self._lines[key].batches -= 1
                self._drop_empty(key)
                for call in batch:
                    call.is_done = True
                self._changed.notify_all()

    def _store(self, batch: Sequence[_Call], key: _Key) -> None:
        tenant, ttl_s = key
        passages = [passage for call in batch for passage in call.passages]
        try:
            self._collection.upsert(passages, tenant=tenant, ttl_s=ttl_s)
        except (EncoderUnavailableError, UnavailableError) as error:  # one by one, they would wait for it again
            for call in batch:
                call.error = type(error)(str(error))
                call.error.__cause__ = error
        except Exception as error:  # noqa: BLE001 - whatever it is, it goes to the caller whose passages it is about
            if len(batch) == 1:
                batch[0].error = error
            else:
                for call in batch:
                    self._store([call], key)
        else:
            for call in batch:
                call.error = None


def _is_next(line: _Line, call: _Call) -> bool:
    return not line.batches and line.waiting[0] is call
