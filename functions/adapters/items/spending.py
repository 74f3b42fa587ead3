"""The `Spending` port over items: a counter a request."""

from datetime import datetime

from functions.adapters.items import keys
from functions.adapters.items.requests import spent as spent_by
from functions.ports.items import Items
from functions.ports.spending import Spent


class ItemSpending:
    """See `Spending`; the ledger of one request goes when that does."""

    def __init__(self, items: Items, *, tenant: str, request: str, expires_at: datetime) -> None:
        self._items = items
        self._tenant, self._request = tenant, request
        self._expires_at = expires_at

    def spent(self) -> Spent:
        """See `Spending.spent`."""
        return spent_by(self._items, self._tenant, self._request)

    def reserve(self, spent: Spent, *, within: Spent) -> bool:
        """See `Spending.reserve`."""
        most = {"tokens": within.tokens, "micros": within.micros}
        return self._count(spent, most)

    def spend(self, spent: Spent) -> None:
        """See `Spending.spend`."""
        self._count(spent, None)

    def _count(self, spent: Spent, within: dict[str, int] | None) -> bool:
        place, counts = keys.ledger(self._tenant, self._request), {"tokens": spent.tokens, "micros": spent.micros}
        return self._items.count(place, counts, within=within, expires_at=self._expires_at) is not None
