"""The budget ledger of a request on SQLite: two columns of its row, so that booking is one update."""

from functions.adapters.local.store import Store
from functions.ports.spending import Spent


class LocalSpending:
    """The `Spending` port for one request. A request that nobody accepted here has no row, and books nothing."""

    def __init__(self, store: Store, *, tenant: str, request: str) -> None:
        self._store = store
        self._request = (tenant, request)

    def spent(self) -> Spent:
        """See `Spending.spent`."""
        rows = self._store.read("SELECT tokens, micros FROM request WHERE tenant = ? AND request = ?", self._request)
        return Spent(*rows[0]) if rows else Spent()

    def spend(self, spent: Spent) -> None:
        """See `Spending.spend`."""
        update = "UPDATE request SET tokens = tokens + ?, micros = micros + ? WHERE tenant = ? AND request = ?"
        self._store.write(
            lambda connection: connection.execute(update, (spent.tokens, spent.micros, *self._request)).rowcount
        )
