"""The collections of a workspace without its documents: opened whole, or their catalog beside whoever has them."""

import os
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from functions.adapters.encoders.registry import CarriedEncoders, registered
from functions.adapters.local.catalog import LocalCatalog
from functions.adapters.local.members import LockedError, locked
from functions.adapters.local.store import Store
from functions.adapters.personal_settings import personal_settings
from functions.adapters.vectors.settings import vector_settings
from functions.collections.opening import made
from functions.errors import TroupeError
from local.comparing import Kept, kept_on
from local.personal import opened_tokenizer
from local.shelf import Shelf


@dataclass(frozen=True)
class Keeping:
    """A catalog, and what it is about where that is open here.

    Attributes:
        home: Of the workspace.
        catalog: Of its collections.
        encoders: Those that can be used here.
        kept: What the collections are kept in; None where another process has it.
        at_work: The process that has it.
        now: The time of all who use the workspace.
        living: The process ids of all who use it.
    """

    home: Path
    catalog: LocalCatalog
    encoders: CarriedEncoders
    kept: Kept | None
    at_work: str
    now: Callable[[], datetime]
    living: Callable[[], Collection[int]]


@contextmanager
def keeping(home: Path) -> Iterator[Keeping]:
    """Open the catalog of a workspace, and its collections unless another process has them.

    Raises:
        PersonalDataError: Personal data is to be taken out of texts, and cannot be: its key is missing.
        VectorSettingsError: The environment names a vector store that cannot be used.
        TroupeError: The store is damaged, or the folder cannot be used.
    """
    with ExitStack() as closing_all:
        at_work = _at_work(home, closing_all)
        store = closing_all.enter_context(closing(Store(home)))
        encoders = closing_all.enter_context(closing(registered(home, os.environ)))
        vectors, kept = vector_settings(os.environ), None
        if not at_work:
            personal = opened_tokenizer(personal_settings(os.environ), store)
            shelf = closing_all.enter_context(
                closing(Shelf(store, encoders, encoders.carried[0], personal=personal, vectors=vectors))
            )
            kept = kept_on(shelf, store.clock)
            for entry in shelf.catalog.entries():
                made(entry, catalog=shelf.catalog, store=shelf.vectors)  # where a command was cut off
        living = store.member.living
        yield Keeping(
            home, LocalCatalog(store, vectors.place), encoders, kept, at_work, store.clock, lambda: living().values()
        )


def _at_work(home: Path, closing_all: ExitStack) -> str:
    """The process that has the collections; empty where that is this one from now on."""
    try:
        closing_all.enter_context(locked(home / "workspace.lock"))
    except LockedError as error:
        return str(error)
    except OSError as error:
        raise TroupeError(
            f"{home} cannot be used to keep things in ({error.strerror or error}): name another folder in TROUPE_HOME"
        ) from error
    return ""
