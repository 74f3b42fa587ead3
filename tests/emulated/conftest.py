"""What the tests of a deployed stack share."""

import faulthandler
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# what plays a vector server there is imported by name: tests are no package
sys.path.insert(0, str(Path(__file__).parents[1] / "stores"))

from emulated.playing import Played, played


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """The whole project on an emulator, deployed once: it takes a minute."""
    faulthandler.cancel_dump_traceback_later()  # of the test that comes first; each wait in here has an end of its own
    from emulated.program import deploy_here  # noqa: PLC0415 - slow

    with played(tmp_path_factory.mktemp("stack"), deploy_here) as deployed:
        yield deployed
