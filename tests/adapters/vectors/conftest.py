import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# The encoder beside these tests is imported by name: tests are no package.
sys.path.insert(0, str(Path(__file__).parent))

from bag_of_words import BagOfWords

from functions.adapters.vectors.qdrant_edge import EdgeCollection


@pytest.fixture
def open_collection(tmp_path: Path) -> Iterator[Callable[..., EdgeCollection]]:
    """Opens a collection in this test's folder, and closes it at the end."""
    opened: list[EdgeCollection] = []

    def open_one(*, name: str = "documents", version: int = 1, encoder: BagOfWords | None = None) -> EdgeCollection:
        collection = EdgeCollection(tmp_path, name=name, version=version, encoder=encoder or BagOfWords())
        opened.append(collection)
        return collection

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def collection(open_collection: Callable[..., EdgeCollection]) -> EdgeCollection:
    return open_collection()
