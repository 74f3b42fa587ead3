from collections.abc import Iterator
from itertools import count

import pytest
from ministack import Emulator, ministack

from functions.adapters.aws.client import Aws

_numbers = count()


@pytest.fixture(scope="session")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """One for all tests of a worker: each makes its own table, bucket and bus in it."""
    with ministack(tmp_path_factory.mktemp("ministack")) as started:
        yield started


@pytest.fixture
def emulated(emulator: Emulator) -> Iterator[Aws]:
    """The client that functions have, of the emulator."""
    aws = Aws(emulator.environment)
    yield aws
    aws.close()


@pytest.fixture
def unique() -> str:
    """A name that no other test uses."""
    return f"test-{next(_numbers)}"
