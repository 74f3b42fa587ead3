"""Bring the points of a workspace to the services that its settings list: alone, while nobody reads or writes them."""

import os
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path

from functions.adapters.local.members import LockedError, locked
from functions.adapters.local.store import Store
from functions.adapters.vectors.placement import Checkpoint
from functions.adapters.vectors.settings import moved, vector_settings
from functions.errors import TroupeError
from local.shelf import within_home


def spread(home: Path, told: Callable[[Checkpoint], None]) -> tuple[int, Sequence[str]]:
    """How many points had to move, and the services that share them now. What was cut off goes on.

    Raises:
        TroupeError: Another process uses the folder, or the points cannot be moved.
    """
    settings = vector_settings(os.environ)
    try:
        with locked(home / "workspace.lock"), closing(Store(home)) as store:
            return moved(within_home(settings, store), home, told), settings.urls
    except LockedError as error:
        raise TroupeError(
            f"{home} is in use by process {error}: stop that one first; points are moved while nobody else reads or "
            "writes them"
        ) from error
