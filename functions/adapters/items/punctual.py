"""Requests for whoever shows them: one whose deadline is over is settled, though no sweep came by yet."""

from functions.adapters.items.requests import ItemRequests, settle
from functions.ports.requests import RequestView
from functions.runtime.outputs import overdue


class PunctualRequests(ItemRequests):
    """See `Requests`. Its conversation goes on with the next sweep: whoever only looks starts nothing."""

    def view(self, request: str, *, tenant: str) -> RequestView | None:
        """See `Requests.view`."""
        found, now = super().view(request, tenant=tenant), self._now()
        if found is None or found.status == "settled" or found.deadline > now:
            return found
        first = self.first(request, tenant=tenant)
        if first is None:  # it was erased meanwhile
            return None
        settle(self._items, overdue(first, now), now)
        return super().view(request, tenant=tenant)
