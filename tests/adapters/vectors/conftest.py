import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

# What is beside these tests is imported by name: tests are no package.
sys.path.insert(0, str(Path(__file__).parent))

from edge_points import LAYOUT

from functions.adapters.vectors.qdrant_edge import EdgeStore


@pytest.fixture
def open_store(tmp_path: Path) -> Iterator[Callable[[], EdgeStore]]:
    """Opens the store in this test's folder, and closes it at the end."""
    opened: list[EdgeStore] = []

    def open_one() -> EdgeStore:
        opened.append(EdgeStore(tmp_path))
        return opened[-1]

    yield open_one
    for each in opened:
        each.close()


@pytest.fixture
def edge(open_store: Callable[[], EdgeStore]) -> EdgeStore:
    """With an empty collection."""
    store = open_store()
    store.create(LAYOUT)
    return store
