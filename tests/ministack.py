"""AWS on this machine: ministack, started for a test on a free port of 127.0.0.1, and stopped after it."""

import http.client
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

COMMAND = Path(__file__).parents[1] / ".emulators" / "bin" / "ministack"
REGION, ACCOUNT = "us-east-1", "000000000000"
START_S = 60.0


class Emulator(msgspec.Struct, frozen=True, kw_only=True):
    """An emulator that runs.

    Attributes:
        url: Where all of its services are.
        environment: What makes clients ask it: region, credentials, endpoint.
        folder: Where it keeps its files; its output is in `ministack.log`.
    """

    url: str
    environment: Mapping[str, str]
    folder: Path

    def client(self, service: str) -> Any:  # noqa: ANN401 - it has no types
        """A client of boto3; the caller closes it."""
        import boto3  # noqa: PLC0415 - slow

        return boto3.client(
            service,
            endpoint_url=self.url,
            region_name=REGION,
            aws_access_key_id=self.environment["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.environment["AWS_SECRET_ACCESS_KEY"],
        )


@contextmanager
def ministack(folder: Path, **options: str) -> Iterator[Emulator]:
    """An emulator with these settings of its environment, e.g. AUTH="true", LAMBDA_EXECUTOR="local".

    The test is skipped where it is not installed.
    """
    if not COMMAND.exists():
        pytest.skip("ministack is not installed: run `sh .ci/set-up emulators`")
    folder.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "TROUPE_"))}
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "TMPDIR": str(folder), **options}
    with (folder / "ministack.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: S603 - of this tree
            [COMMAND],
            cwd=folder,
            env=inherited | settings,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # with what it starts for functions, so that all of it ends together
        )
    try:
        _await_health(process, port, folder / "ministack.log")
        url = f"http://127.0.0.1:{port}"
        environment = {
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_ENDPOINT_URL": url,
        }
        yield Emulator(url=url, environment=environment, folder=folder)
    finally:
        _end(process)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def _await_health(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    ends = time.monotonic() + START_S
    while time.monotonic() < ends:
        if process.poll() is not None:
            break
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with suppress(OSError, http.client.HTTPException):
            connection.request("GET", "/_ministack/health")
            if connection.getresponse().status == 200:
                connection.close()
                return
        connection.close()
        time.sleep(0.05)
    raise AssertionError(f"ministack did not start: {log.read_text()[-2000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(10)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
