import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # what is beside these tests is imported by name: tests are no package

from collection_fakes import Shelf

from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.collections.collection import VersionedCollection
from tests.memory_store import MemoryStore


class WordlessStore(MemoryStore):
    """A store that searches no words."""

    searches_words = False


@pytest.fixture(params=["memory", "edge", "wordless"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    """What collections stand on, over each kind of store."""
    stores = {"memory": MemoryStore, "wordless": WordlessStore, "edge": lambda: EdgeStore(tmp_path / "collections")}
    with closing(stores[request.param]()) as store:
        yield Shelf(store, tmp_path)


@pytest.fixture
def collection(shelf: Shelf) -> VersionedCollection:
    return shelf.open()
