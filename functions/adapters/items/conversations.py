"""The capabilities `Append` and `History`, and the `Conversations` port, over items."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Literal

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.requests import is_erased
from functions.adapters.items.writing import STAYS, encoded
from functions.events.decoding import decoder
from functions.ports.conversations import Message
from functions.ports.items import Items
from functions.runtime.delivery import Binding

BESIDE = 10  # messages that are read beyond a limit: of the delivery itself, or expired


class KeptMessage(msgspec.Struct, frozen=True, kw_only=True):
    """A message, and the delivery that said it, whatever its attempt and generation."""

    message: Message
    origin: str


class ItemTalk:
    """The capabilities `Append` and `History` of one delivery."""

    def __init__(self, items: Items, now: Callable[[], datetime], binding: Binding) -> None:
        self._items = items
        self._now = now
        self._binding = binding
        self._partition = keys.conversation(binding.tenant, binding.conversation)
        self._appended = 0

    def append(self, role: Literal["user", "assistant"], text: str) -> None:
        """See `Append.append`; what was erased says nothing."""
        if is_erased(self._items, self._binding.tenant, self._binding.request):
            return
        self._appended += 1
        now, origin = self._now(), self._binding.origin
        said = KeptMessage(message=Message(role=role, text=text, at=now, request=self._binding.request), origin=origin)
        place = self._partition, keys.joined("message", origin, str(self._appended))
        self._items.put(place, encoded(said), revision=0, at=now, expires_at=now + STAYS)

    def history(self, *, limit: int = 20) -> Sequence[Message]:
        """See `History.history`."""
        found = _said(self._items, self._partition, limit + BESIDE, self._now())
        others = [said.message for said in found if said.origin != self._binding.origin]
        return others[-limit:] if limit > 0 else []


class ItemConversations:
    """See `Conversations`."""

    def __init__(self, items: Items, now: Callable[[], datetime]) -> None:
        self._items = items
        self._now = now

    def messages(self, conversation: str, *, tenant: str, limit: int) -> Sequence[Message]:
        """See `Conversations.messages`."""
        found = _said(self._items, keys.conversation(tenant, conversation), limit, self._now())
        return [said.message for said in found]


def _said(items: Items, partition: str, limit: int, now: datetime) -> list[KeptMessage]:
    if limit < 1:
        return []
    found = [decoder(KeptMessage).decode(item.value) for item in items.latest(partition, limit)]
    return [said for said in found if said.message.at > now - STAYS]
