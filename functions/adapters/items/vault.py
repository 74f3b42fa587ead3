"""The `Vault` port over items: an original is one, encrypted before it comes here."""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from functions.adapters.items import keys
from functions.adapters.items.writing import encoded
from functions.events.decoding import decoder
from functions.ports.items import Item, Items
from functions.ports.personal import Original


class ItemVault:
    """The originals of a stack; the store itself removes what is expired."""

    def __init__(self, items: Items) -> None:
        self._items = items

    def put(self, originals: Sequence[Original], *, tenant: str) -> None:
        """See `Vault.put`."""
        found = self._items.get([keys.original(tenant, each.token) for each in originals])
        for original, item in zip(originals, found, strict=True):
            self._put(original, item, tenant)

    def get(self, tokens: Sequence[str], *, tenant: str, now: datetime) -> Sequence[Original]:
        """See `Vault.get`."""
        found = self._items.get([keys.original(tenant, token) for token in dict.fromkeys(tokens)])
        originals = [decoder(Original).decode(item.value) for item in found if item]
        return [each for each in originals if each.expires_at > now]

    def expire(self, now: datetime) -> int:
        """See `Vault.expire`: there is nothing to do, since each item says when it goes."""
        del now
        return 0

    def _put(self, original: Original, item: Item | None, tenant: str) -> None:
        """Sealed anew, so that a key can be retired once all that it sealed has expired."""
        place = keys.original(tenant, original.token)
        while True:
            until = decoder(Original).decode(item.value).expires_at if item else original.expires_at
            kept = msgspec.structs.replace(original, expires_at=max(until, original.expires_at))
            revision = item.revision if item else 0
            if self._items.put(place, encoded(kept), revision=revision, expires_at=kept.expires_at):
                return
            (item,) = self._items.get([place])
