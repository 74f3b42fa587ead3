"""Makes the fakes beside it importable, and those of the API's own tests."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "api"))

from aws_fakes import Stack


@pytest.fixture
def stack() -> Stack:
    """A stack in memory."""
    return Stack()
