"""Every vector store that can run here: a file in `engines` each.

An engine's module offers `opened`, a context manager that gives an empty store over a folder, and, where the product
keeps anything, `reopened`: the same over what another one left in that folder.
"""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from functions.ports.vector_stores import VectorStore

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
ENGINES = sorted(module.name for module in pkgutil.iter_modules([str(HERE / "engines")]))


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> ModuleType:
    """The module of each product."""
    return importlib.import_module(f"engines.{request.param}")


@pytest.fixture
def store(engine: ModuleType, tmp_path: Path) -> Iterator[VectorStore]:
    """An empty store of each product."""
    with engine.opened(tmp_path) as opened:
        yield opened


@pytest.fixture
def filled(store: VectorStore) -> VectorStore:
    """The same with the three points that `stored.py` names."""
    from stored import LAYOUT, THREE  # noqa: PLC0415 - beside this file, which has just made that importable

    store.create(LAYOUT)
    store.upsert(LAYOUT, THREE)
    return store
