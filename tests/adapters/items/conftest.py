"""A test that asks for `stack` runs on one machine's store, on items in memory, and on an emulated DynamoDB."""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from harness import Clock
from ministack import Emulator, ministack
from stacks import ItemStack, LocalStack, Stack, dynamo_stack, memory_stack


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with ministack(tmp_path_factory.mktemp("ministack")) as started:
        yield started


@pytest.fixture(params=["local", "memory", "dynamodb"])
def stack(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Stack]:
    if request.param == "local":
        with closing(LocalStack(tmp_path / "store")) as made:
            yield made
    elif request.param == "memory":
        yield memory_stack()
    else:
        yield from dynamo_stack(request.getfixturevalue("emulator"), Clock())


@pytest.fixture
def cloud() -> ItemStack:
    """Items in memory alone."""
    return memory_stack()
