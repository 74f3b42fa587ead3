"""What a home is called where others keep their things beside its own."""

from functions.adapters.local.store import Store


def home_id(store: Store) -> str:
    """The same for as long as there is the store, also where that is restored elsewhere."""
    return str(store.read("SELECT id FROM home")[0][0])
