"""The budget ledger of a request on SQLite: two columns of its row, so that booking is one update."""

from functions.adapters.local.store import Store
from functions.ports.spending import Spent


class LocalSpending:
    """The `Spending` port for one request. One that was erased has no row: no call fits, and nothing is booked."""

    def __init__(self, store: Store, *, tenant: str, request: str) -> None:
        self._store = store
        self._request = (tenant, request)

    def spent(self) -> Spent:
        """See `Spending.spent`."""
        rows = self._store.read("SELECT tokens, micros FROM request WHERE tenant = ? AND request = ?", self._request)
        return Spent(*rows[0]) if rows else Spent()

    def reserve(self, spent: Spent, *, within: Spent) -> bool:
        """See `Spending.reserve`."""
        named = {
            "tokens": spent.tokens,
            "micros": spent.micros,
            "tenant": self._request[0],
            "request": self._request[1],
        }
        named |= {"most_tokens": within.tokens, "most_micros": within.micros}
        return self._store.write(lambda connection: connection.execute(_RESERVE, named).rowcount) > 0

    def spend(self, spent: Spent) -> None:
        """See `Spending.spend`."""
        update = "UPDATE request SET tokens = tokens + ?, micros = micros + ? WHERE tenant = ? AND request = ?"
        self._store.write(
            lambda connection: connection.execute(update, (spent.tokens, spent.micros, *self._request)).rowcount
        )


_RESERVE = """
UPDATE request SET tokens = tokens + :tokens, micros = micros + :micros WHERE tenant = :tenant AND request = :request
    AND tokens + :tokens <= :most_tokens AND micros + :micros <= :most_micros
"""
