"""Run by a test as a process of its own: one version of a workflow, which takes requests until it is told to stop.

    python deployed_process.py FOLDER CHANGE PREFIX REQUESTS

It says `ready`, then the name of each request that it accepted, then `all`; after SIGTERM, `left`.
"""

import signal
import sys
import threading
import time
from pathlib import Path

from deployed_workflows import BEFORE, COMPATIBLE, INCOMPATIBLE

import local.process
from functions.adapters.local.conversations import LocalAppend
from functions.adapters.local.store import Store
from functions.runtime.workflow import Workflow
from local.process import LocalProcess

CONVERSATIONS = 20
WORK_S = 0.01  # of every agent, so that requests come faster than they are answered


def version(change: str) -> Workflow:
    """The workflow as it was, or with this change."""
    if change == "none":
        return BEFORE
    return COMPATIBLE[change] if change in COMPATIBLE else INCOMPATIBLE[change][0]


def say(line: str) -> None:
    """Tell the test."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class SlowAppend(LocalAppend):
    """The capability of every agent here, as if it had more to do."""

    def append(self, role: str, text: str) -> None:
        time.sleep(WORK_S)
        super().append(role, text)


def main(folder: str, change: str, prefix: str, count: str) -> None:
    """Take so many requests, and work until the signal comes."""
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    workflow = version(change)
    local.process.LocalAppend = SlowAppend  # type: ignore[misc]
    store = Store(Path(folder))
    try:
        with LocalProcess(store, {workflow.name: workflow}, {}, workers=4) as process:
            say("ready")
            for number in range(int(count)):
                if stopping.is_set():
                    break
                request = f"{prefix}{number}"
                conversation = f"{prefix}-{number % CONVERSATIONS}"
                event = workflow.entry(texts=(f"{request}a", f"{request}b"))
                process.submit(workflow.name, event, conversation=conversation, request=request)
                say(request)
            say("all")
            stopping.wait()
    finally:
        store.close()
    say("left")


if __name__ == "__main__":
    main(*sys.argv[1:])
