"""Run as a process of its own: the shipped workflows behind the HTTP API, on a store that others may share.

What `troupe run` is, but for the collections: those of Qdrant Edge are one process's, so here they are in memory. The
second argument is by how many seconds the clock of its machine is ahead.
"""

import logging
import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from memory_collection import DOCUMENTS, MemoryCollection

from functions.adapters.local.store import Store
from functions.api.api import Api
from functions.api.callers import Keys
from functions.workflows.catalog import WORKFLOWS
from local.process import LocalProcess
from local.server.app import App, Settings
from local.server.serving import bound, serve
from local.server.settings import read_limits


def main(folder: str, ahead_s: str = "0") -> None:
    """Serve until a signal comes."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    documents, keys = MemoryCollection(), Keys({})
    store = Store(Path(folder), wall=lambda: datetime.now(UTC) + timedelta(seconds=float(ahead_s)))
    documents.upsert(DOCUMENTS, tenant="default")
    collections = {"documents": documents, "memories": MemoryCollection()}
    with LocalProcess(store, WORKFLOWS, collections) as process:
        target = process.target(limits=read_limits(os.environ, tenants=1), secured=False)
        app = App(Api(target), process.watchers, Settings(keys=keys))
        serve(app, bound("127.0.0.1", 0, keys), started=_say)
    store.close()


def _say(address: str) -> None:
    sys.stdout.write(f"Serving on {address}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
