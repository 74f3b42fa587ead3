"""Whose the points of the collections are: recorded before a point is stored, so that an erasure finds every one.

Of each passage there is an item among what its conversation holds, then a mark at the passage and one at each token
in it, for an erasure to see who else holds these. Nothing spans them, the point and the request, and an erasure
removes the request first. So whether that is still there is looked at again once the point is stored: what the
erasure missed is taken out here.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.requests import read
from functions.adapters.items.writing import packed, replace, unpacked
from functions.adapters.recorded import recorded
from functions.errors import PermanentError
from functions.events.common import Passage
from functions.events.decoding import decoder
from functions.ports.items import MOST_BYTES, Items, Place
from functions.ports.personal import TOKEN, Tokenizer
from functions.ports.vectors import Collection, Upsert
from functions.runtime.delivery import Binding


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """A passage that a conversation stored.

    Attributes:
        collection: The collection's key.
        id: Of the passage.
        at: When it was stored.
        passage: As it was stored, without the originals of tokens.
        tokens: That are in it.
    """

    collection: str
    id: str
    at: datetime
    passage: Passage
    tokens: tuple[str, ...] = ()


class ItemUpsert:
    """The `Upsert` capability, bound to one delivery: what it stores is held by its conversation.

    Args:
        items: Of the stack.
        upsert: What stores, within the tenant of the delivery.
        collection: The same collection, to take out what was erased meanwhile.
        tokenizer: Takes personal data out of what is recorded; without one, it stays.
    """

    def __init__(  # noqa: PLR0913 - what stores, and what it is recorded with
        self,
        items: Items,
        upsert: Upsert,
        *,
        collection: Collection,
        binding: Binding,
        now: Callable[[], datetime],
        tokenizer: Tokenizer | None = None,
    ) -> None:
        self._items = items
        self._upsert = upsert
        self._collection = collection
        self._binding = binding
        self._now = now
        self._tokenizer = tokenizer

    def upsert(self, passages: Sequence[Passage], *, ttl_s: float | None = None) -> None:
        """See `Upsert.upsert`; what was erased stores nothing.

        Raises:
            PermanentError: A passage is too large to be recorded.
        """
        if self._is_erased():
            return
        held = [self._held(passage) for passage in passages]
        values = [_packed(each) for each in held]
        for each, value in zip(held, values, strict=True):
            self._record(each, value)
        self._upsert.upsert(passages, ttl_s=ttl_s)
        if self._is_erased():
            self._take_out(held)

    def _is_erased(self) -> bool:
        return read(self._items, keys.request(self._binding.tenant, self._binding.request))[0] is None

    def _held(self, passage: Passage) -> Held:
        said = recorded(passage, self._binding.tenant, self._tokenizer)
        return Held(
            collection=self._collection.key,
            id=passage.id,
            at=self._now(),
            passage=decoder(Passage).decode(said),
            tokens=tuple(sorted(set(TOKEN.findall(said.decode())))),
        )

    def _record(self, held: Held, value: bytes) -> None:
        binding = self._binding
        place = keys.hold(binding.tenant, binding.conversation, held.collection, held.id)
        replace(self._items, place, value)
        for mark in marks(held, binding.tenant, binding.conversation):
            self._items.put(mark, b"", revision=0)

    def _take_out(self, held: Sequence[Held]) -> None:
        """What others hold, too, stays as it is now: nobody has what it was before."""
        tenant, conversation = self._binding.tenant, self._binding.conversation
        mine = [keys.hold(tenant, conversation, each.collection, each.id) for each in held]
        self._items.delete([*mine, *(mark for each in held for mark in marks(each, tenant, conversation))])
        unheld = [each.id for each in held if not self._items.query(keys.holders(tenant, each.collection, each.id))]
        self._collection.erase(unheld, tenant=tenant)


def held_by(items: Items, tenant: str, conversation: str) -> list[Held]:
    """The passages that a conversation stored."""
    found = items.query(keys.holding(tenant, conversation), keys.joined(keys.HOLDS, ""))
    return [unpacked(Held, item) for item in found]


def _packed(held: Held) -> bytes:
    value = packed(held)
    if len(value) > MOST_BYTES:
        raise PermanentError(
            f"the passage {held.id} has {len(value) // 1000} KB even when it is packed, and "
            f"{MOST_BYTES // 1000} can be recorded: split it into several",
            reason="passage too large",
        )
    return value


def marks(held: Held, tenant: str, conversation: str) -> Iterator[Place]:
    """Where it is marked that a conversation holds a passage, and each token in it."""
    yield keys.holders(tenant, held.collection, held.id), conversation
    for token in held.tokens:
        yield keys.token_holders(tenant, token), conversation
