"""Every test that asks for `stack` runs on one machine's store and on items."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from stacks import ItemStack, LocalStack, Stack, memory_stack

STACKS: dict[str, Callable[[Path], LocalStack | ItemStack]] = {"local": LocalStack, "memory": memory_stack}


@pytest.fixture(params=list(STACKS))
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    with closing(STACKS[request.param](tmp_path / "store")) as made:
        yield made


@pytest.fixture
def cloud(tmp_path: Path) -> ItemStack:
    """Items alone."""
    return memory_stack(tmp_path)
