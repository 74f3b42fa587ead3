"""Run by a test as a process of its own: has an action done, and waits to be killed."""

import os
import sys
import threading
from pathlib import Path

from memory_collection import MemoryCollection

from functions.adapters.actions.settings import action_settings
from functions.adapters.local.store import Store
from functions.events.answer import UserMessage
from functions.workflows.catalog import WORKFLOWS
from local.process import LocalProcess


def main(folder: str, text: str) -> None:
    """Ask, and never end."""
    collections = {"documents": MemoryCollection(), "memories": MemoryCollection()}
    actions = action_settings(os.environ)
    with LocalProcess(Store(Path(folder)), WORKFLOWS, collections, actions=actions) as process:
        process.submit("answer", UserMessage(text=text), conversation="c1", request="r1")
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
