"""What bench/api measures: the real server over a workflow of one agent that answers at once, or waits to be told."""

import signal
import sys
import tempfile
import threading
from pathlib import Path

from functions.adapters.local.store import Store
from functions.api.api import Api
from functions.api.callers import Keys
from functions.events.event import Event
from functions.ports.requests import Limits
from functions.runtime.agent import agent
from functions.runtime.workflow import Workflow
from local.process import LocalProcess
from local.server.app import App, Settings
from local.server.serving import bound, serve

HOLD = "hold"  # the text of a message that is answered only after SIGUSR1
released = threading.Event()


class Said(Event):
    """What a client wrote."""

    text: str


class Heard(Event):
    """The answer."""

    text: str


@agent(timeout_s=500)
def listener(said: Said) -> Heard:
    """Say it again."""
    if said.text == HOLD:
        released.wait()
    return Heard(text=said.text)


WORKFLOW = Workflow(name="answer", agents=(listener,), entry=Said, answer=Heard, deadline_s=600.0)


def main() -> None:
    """Serve until a signal comes; the address goes to standard output."""
    signal.signal(signal.SIGUSR1, lambda *_: released.set())
    keys = Keys({})
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        with LocalProcess(store, {"answer": WORKFLOW}, {}) as process:
            api = Api(process.target(limits=Limits(), secured=False))
            app = App(api, process.watchers, Settings(keys=keys))
            serve(app, bound("127.0.0.1", 0, keys), started=lambda url: print(f"Serving on {url}", flush=True))
        store.close()


if __name__ == "__main__":
    sys.exit(main())
