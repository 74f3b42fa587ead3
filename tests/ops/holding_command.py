"""`troupe run` whose searches end when the process is stopping: what came before that is in flight then."""

import runpy
import threading
from collections.abc import Sequence
from pathlib import Path

from functions.adapters.local.bus import Bus
from functions.adapters.vectors.bound import TenantSearch
from functions.ports.vectors import Passage

stopping = threading.Event()
stop, find = Bus.stop, TenantSearch.find


def stop_and_tell(bus: Bus) -> None:
    """Stop, then let the searches go on."""
    stop(bus)
    stopping.set()


def find_when_stopping(search: TenantSearch, text: str, *, limit: int = 5) -> Sequence[Passage]:
    """What is found, later."""
    stopping.wait()
    return find(search, text, limit=limit)


Bus.stop, TenantSearch.find = stop_and_tell, find_when_stopping  # type: ignore[method-assign]
runpy.run_path(str(Path(__file__).with_name("serving_command.py")))
