"""The store of this machine, opened beside whoever is at work on it (docs/adr/0013)."""

from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from functions.errors import TroupeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functions.adapters.local.store import Store


def home_with_store() -> Path:
    """Where everything is kept: looking makes nothing.

    Raises:
        TroupeError: There is nothing yet, or it is elsewhere.
    """
    from local.workspace import home_folder

    home = home_folder()
    if not (home / "troupe.sqlite").exists():
        raise TroupeError(
            f"there is no store in {home}: name its folder in TROUPE_HOME, or start `troupe run`, which makes one"
        )
    return home


@contextmanager
def opened_store() -> "Iterator[Store]":
    """The store that is there; its clock is the time of all who use it."""
    from functions.adapters.local.store import Store

    with closing(Store(home_with_store())) as store:
        yield store
