"""The shipped workflows over collections in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from memory_collection import MemoryCollection

from functions.adapters.local.store import Store
from functions.workflows.catalog import WORKFLOWS
from local.process import LocalProcess


@contextmanager
def running(folder: Path) -> Iterator[LocalProcess]:
    """A process at work, with its store in this folder."""
    store = Store(folder)
    collections = {"documents": MemoryCollection(), "memories": MemoryCollection()}
    try:
        with LocalProcess(store, WORKFLOWS, collections, workers=2) as process:
            yield process
    finally:
        store.close()
