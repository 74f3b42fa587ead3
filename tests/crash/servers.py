"""Real servers as processes of their own, started, killed and started again; what they print goes into a file."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

TESTS = Path(__file__).parents[1]
PATIENCE_S = 60.0
POLL_S = 0.01
SERVING = "Serving on "

OFFICE = "# The office\n\nThe office opens at nine on Mondays. Bring a badge.\n"


def environment(home: Path, docs: Path) -> dict[str, str]:
    """Of a server: the folders that it works in, and nothing that another run left set."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "TROUPE_"))}
    paths = os.pathsep.join(str(path) for path in (TESTS.parent, TESTS))
    return {**inherited, "PYTHONPATH": paths, "TROUPE_HOME": str(home), "DOCS": str(docs), "PYTHONFAULTHANDLER": "1"}


def shared(home: Path, ahead_s: float = 0.0) -> list[str]:
    """The command of a server that shares its store with others; its clock is so many seconds ahead."""
    return [sys.executable, str(TESTS / "crash" / "crash_server.py"), str(home), str(ahead_s)]


def alone() -> list[str]:
    """The command `troupe run`, with a small encoder."""
    return [sys.executable, str(TESTS / "ops" / "serving_command.py"), "run", "--port", "0"]


class Server:
    """One server: a process at a time, and where it serves while it does.

    Attributes:
        url: Empty while it serves nowhere.
    """

    def __init__(self, command: Sequence[str], log: Path, given: Mapping[str, str]) -> None:
        self._command = command
        self._log = log
        self._environment = given
        self._process: subprocess.Popen[bytes] | None = None
        self._from = 0  # where in the log this process began
        self.url = ""

    def start(self, limit: Callable[[], None] | None = None) -> None:
        """Start a process; it serves once `is_serving` says so."""
        with self._log.open("ab") as log:
            self._from = log.tell()
            self._process = subprocess.Popen(  # noqa: S603 - the command is this file's own
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**self._environment},
                preexec_fn=limit,  # noqa: PLW1509 - before any thread of the child
            )

    def is_serving(self) -> bool:
        """Whether it takes requests, which `url` then says where."""
        if not self.url:
            lines = self.said().splitlines(keepends=True)
            whole = (line for line in lines if line.startswith(SERVING) and line.endswith("\n"))
            self.url = next(whole, "").removeprefix(SERVING).strip()
        return bool(self.url)

    def wait_until_serving(self) -> None:
        """Raises AssertionError with what it printed where it ends, or takes too long."""
        wait_until(lambda: self.is_serving() or self.has_ended(), "the server to serve")
        assert self.is_serving(), f"it ended with {self._process and self._process.returncode}: {self.said()}"

    def has_ended(self) -> bool:
        """Whether its process is over."""
        return self._process is None or self._process.poll() is not None

    def said(self) -> str:
        """What this process printed."""
        return self._log.read_bytes()[self._from :].decode(errors="replace")

    def kill(self) -> None:
        """`kill -9`: it gets to do nothing more."""
        self.url = ""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def terminate(self) -> int:
        """Ask it to end; its exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(PATIENCE_S)
        self._process, self.url = None, ""
        return code

    @property
    def pid(self) -> int:
        """Of its process."""
        assert self._process is not None
        return self._process.pid


def wait_until(condition: Callable[[], bool], of: str, seconds: float = PATIENCE_S) -> None:
    """Poll until the condition holds; raises AssertionError where it never does."""
    pause, until = threading.Event(), time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, f"waited {seconds:.0f} s for {of}"
        pause.wait(POLL_S)
