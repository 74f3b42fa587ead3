"""The ledger of effects over items: one an effect, written before its call and after it.

What was asked for in a conversation is found by an item in the partition of what that holds, written before the
effect. Nothing spans the two and the request: whether that is still there is looked at again once both are written,
and an erasure removes the request first. So what it does not find was not put down.
"""

import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.requests import read
from functions.adapters.items.writing import STAYS, encoded
from functions.errors import PermanentError
from functions.events.decoding import decoder
from functions.ports.actions import ActionResult
from functions.ports.effects import UNSETTLED, Effect, Status, renewed, settled
from functions.ports.items import MOST_BYTES, Item, Items


class Kept(msgspec.Struct, frozen=True):
    """An effect as it is stored.

    Attributes:
        writer: Of this write alone: no two who write the same intent at the same moment write equal items, so that a
            store that knows a repeat of its own write again never takes one of them for the other.
    """

    effect: Effect
    writer: str


class ItemEffects:
    """The `Effects` port for one tenant; an answer that fits into no item is cut."""

    def __init__(self, items: Items, now: Callable[[], datetime], *, tenant: str) -> None:
        self._items = items
        self._now = now
        self._tenant = tenant

    def find(self, key: str) -> Effect | None:
        """See `Effects.find`."""
        return self._read(key)[0]

    def begin(self, intent: Effect, *, key_lasts_s: float) -> Effect:
        """See `Effects.begin`.

        Raises:
            PermanentError: Its request was erased, or what is to be sent fits into no item.
        """
        _refuse_large(intent)
        if self._is_erased(intent):
            raise _erased(intent)
        asked = keys.asked(self._tenant, intent.conversation, intent.key)
        self._items.put(asked, b"", revision=0, expires_at=self._now() + STAYS)
        while True:
            found, revision = self._read(intent.key)
            effect = renewed(found, intent, key_lasts_s)
            if effect == found:
                return effect
            if self._write(effect, revision):
                break
        if self._is_erased(intent):
            self._items.delete([keys.effect(self._tenant, intent.key), asked])
            raise _erased(intent)
        return effect

    def end(self, key: str, status: Status, received: ActionResult | None = None) -> None:
        """See `Effects.end`."""
        while True:
            found, revision = self._read(key)
            if found is None or found.status not in UNSETTLED:
                return
            if self._write(msgspec.structs.replace(found, status=status, received=received), revision):
                return

    def effects(self, *, conversation: str | None = None) -> Sequence[Effect]:
        """See `Effects.effects`; all of a tenant are read in one partition, those of a conversation one by one."""
        if conversation is None:
            partition, _ = keys.effect(self._tenant, "")
            return _sorted(map(_effect, self._items.query(partition)))
        found = self._items.get([keys.effect(self._tenant, key) for key in self._asked(conversation)])
        return _sorted(effect for item in found if item and (effect := _effect(item)).conversation == conversation)

    def in_doubt(self, request: str) -> Sequence[Effect]:
        """See `Effects.in_doubt`."""
        opened, _ = read(self._items, keys.request(self._tenant, request))
        found = self.effects(conversation=opened.conversation) if opened else ()
        return [each for each in found if each.request == request and each.status in UNSETTLED]

    def settle(self, key: str, status: Literal["done", "not done"]) -> Effect:
        """See `Effects.settle`."""
        while True:
            found, revision = self._read(key)
            effect = settled(found, key, status, self._now())
            if self._write(effect, revision):
                return effect

    def _asked(self, conversation: str) -> list[str]:
        partition, prefix = keys.asked(self._tenant, conversation, "")
        return [item.key.removeprefix(prefix) for item in self._items.query(partition, prefix)]

    def _read(self, key: str) -> tuple[Effect | None, int]:
        (item,) = self._items.get([keys.effect(self._tenant, key)])
        return (_effect(item), item.revision) if item else (None, 0)

    def _write(self, effect: Effect, revision: int) -> bool:
        place = keys.effect(self._tenant, effect.key)
        return self._items.put(place, _value(_cut(effect)), revision=revision, expires_at=self._now() + STAYS)

    def _is_erased(self, intent: Effect) -> bool:
        return read(self._items, keys.request(self._tenant, intent.request))[0] is None


def _erased(intent: Effect) -> PermanentError:
    return PermanentError(f"the action {intent.action} was not sent: its request was erased", reason="erased")


def _refuse_large(intent: Effect) -> None:
    size = len(_value(intent))
    if size > MOST_BYTES:
        raise PermanentError(
            f"the action {intent.action} was not sent: it has {size // 1000} KB, and {MOST_BYTES // 1000} can be put "
            "down before a call: send less",
            reason="effect too large",
        )


def _cut(effect: Effect) -> Effect:
    """As much of the answer as fits."""
    while (received := effect.received) is not None and len(_value(effect)) > MOST_BYTES:
        shorter = msgspec.structs.replace(received, text=received.text[: len(received.text) // 2], cut=True)
        effect = msgspec.structs.replace(effect, received=shorter)
    return effect


def _value(effect: Effect) -> bytes:
    return encoded(Kept(effect, uuid.uuid4().hex))


def _effect(item: Item) -> Effect:
    return decoder(Kept).decode(item.value).effect


def _sorted(effects: Iterable[Effect]) -> list[Effect]:
    return sorted(effects, key=lambda effect: (effect.at, effect.key))
