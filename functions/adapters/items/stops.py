"""The `Stops` port over items: one a scope, read by every begin."""

from collections.abc import Sequence

from functions.adapters.items import keys
from functions.adapters.items.writing import encoded, replace
from functions.events.decoding import decoder
from functions.ports.items import Item, Items
from functions.ports.stops import Scope, Stop, key_of
from functions.ports.stops import keys as stop_keys


class ItemStops:
    """See `Stops`."""

    def __init__(self, items: Items) -> None:
        self._items = items

    def stop(self, stop: Stop) -> None:
        """See `Stops.stop`."""
        replace(self._items, keys.stop(key_of(stop.scope)), encoded(stop))

    def resume(self, scope: Scope) -> bool:
        """See `Stops.resume`."""
        place = keys.stop(key_of(scope))
        (found,) = self._items.get([place])
        self._items.delete([place])
        return found is not None

    def listed(self) -> Sequence[Stop]:
        """See `Stops.listed`."""
        partition, _ = keys.stop("")
        return sorted(map(_stop, self._items.query(partition)), key=lambda stop: (stop.at, str(stop.scope)))

    def found(self, *, tenant: str, conversation: str, workflow: str) -> Stop | None:
        """See `Stops.found`."""
        found = self._items.get([keys.stop(scope) for scope in stop_keys(tenant, conversation, workflow)])
        return next((_stop(item) for item in found if item is not None), None)


def _stop(item: Item) -> Stop:
    return decoder(Stop).decode(item.value)
