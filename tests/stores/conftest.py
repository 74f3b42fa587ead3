"""Every vector store that can run here: a file in `engines` each, with `opened`, a context manager over a folder."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from functions.ports.vector_stores import VectorStore

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
ENGINES = sorted(module.name for module in pkgutil.iter_modules([str(HERE / "engines")]))


@pytest.fixture(params=ENGINES)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VectorStore]:
    """An empty store of each product."""
    with importlib.import_module(f"engines.{request.param}").opened(tmp_path) as opened:
        yield opened
