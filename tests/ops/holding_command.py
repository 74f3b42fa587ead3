"""`troupe run` whose searches end when the process is stopping: what came before that is in flight then."""

import runpy
import threading
from pathlib import Path
from typing import Any

from functions.adapters.local.bus import Bus
from functions.adapters.vectors.bound import TenantSearch

stopping = threading.Event()
stop, find = Bus.stop, TenantSearch.find


def stop_and_tell(bus: Bus) -> None:
    """Stop, then let the searches go on."""
    stop(bus)
    stopping.set()


def find_when_stopping(search: TenantSearch, *query: Any, **options: Any) -> Any:
    """What is found, later."""
    stopping.wait()
    return find(search, *query, **options)


Bus.stop, TenantSearch.find = stop_and_tell, find_when_stopping  # type: ignore[method-assign]
runpy.run_path(str(Path(__file__).with_name("serving_command.py")))
