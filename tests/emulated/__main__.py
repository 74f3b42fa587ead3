# ruff: noqa: T201 - a command says what it does
"""`make aws-emulated`: the whole project on an emulator of AWS, left running for whoever wants to play with it."""

import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "stores"))  # what plays a vector server

from emulated.playing import DOCUMENTS, KEY, QUESTION, played
from emulated.program import deploy_here

STOPPED = 130  # by Ctrl-C, as shells have it


def main() -> int:
    """Deploy, ask an example, say how to go on, and wait for Ctrl-C."""
    stopped = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    with tempfile.TemporaryDirectory(prefix="troupe-aws-") as folder:
        began = time.monotonic()
        print("deploying onto the emulator: it takes a minute, and more the first time", flush=True)
        with played(Path(folder), deploy_here) as stack:
            print(f"deployed {len(stack.report.made)} resources in {time.monotonic() - began:.0f} s")
            for problem in stack.deployment.links.broken():
                print(f"AWS would refuse this: {problem}")
            stack.send(DOCUMENTS)
            print(f"\nasked: {QUESTION}\n\n{stack.ask()['answer']['text']}\n")
            print(_how_to_go_on(stack.url, stack.socket_url), flush=True)
            stopped.wait()
    return 0


def _how_to_go_on(url: str, socket_url: str) -> str:
    said = '{"text": "How does an arch bridge carry its load?", "workflow": "research"}'
    return f"""HTTP API:   {url}
WebSocket:  {socket_url}
key:        {KEY}

  curl -H 'Authorization: Bearer {KEY}' -H 'Content-Type: application/json' -d '{said}' \\
    '{url}/conversations/c2/messages'
  curl -H 'Authorization: Bearer {KEY}' '{url}/requests/<request>?wait=20'

Ctrl-C stops it, and nothing of it stays."""


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(STOPPED)
