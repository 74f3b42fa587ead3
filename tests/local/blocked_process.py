"""Run by a test as a process of its own: takes a question, and says so once its search, which never ends, began."""

import sys
import threading
from pathlib import Path

from memory_collection import MemoryCollection

from functions.adapters.local.store import Store
from functions.events.answer import UserMessage
from functions.workflows.catalog import WORKFLOWS
from local.process import LocalProcess


def main(folder: str, question: str) -> None:
    """Block in the search for good."""
    documents = MemoryCollection()
    searching = threading.Event()

    def block(_: str) -> None:
        searching.set()
        threading.Event().wait()

    documents.during = block
    collections = {"documents": documents, "memories": MemoryCollection()}
    with LocalProcess(Store(Path(folder)), WORKFLOWS, collections) as process:
        process.submit("answer", UserMessage(text=question), conversation="c1", request="r1")
        searching.wait()
        sys.stdout.write("searching\n")
        sys.stdout.flush()
        threading.Event().wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
