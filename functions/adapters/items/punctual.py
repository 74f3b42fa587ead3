"""Requests for whoever shows them: one whose deadline is over is settled, though no sweep came by yet."""

from functions.adapters.items.requests import ItemRequests
from functions.ports.requests import RequestView


class PunctualRequests(ItemRequests):
    """See `Requests`."""

    def view(self, request: str, *, tenant: str) -> RequestView | None:
        """See `Requests.view`."""
        found = super().view(request, tenant=tenant)
        if found is None or found.status == "settled" or found.deadline > self._now():
            return found
        self.settle_overdue(request, tenant=tenant)
        return super().view(request, tenant=tenant)
