"""`troupe run`: serves until a signal, and then ends what is open; refuses what would not be safe."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import httpx
import pytest
from command import Troupe

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
OPENS = "When does the office open?"


@contextmanager
def started(
    docs: Path, home: Path, *, command: str = "serving_command.py", **environment: str
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command in a process of its own, and where it serves."""
    paths = os.pathsep.join(str(path) for path in (ROOT, ROOT / "tests"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "TROUPE_"))}
    with subprocess.Popen(  # noqa: S603 - every argument is this test's own
        [sys.executable, str(Path(__file__).with_name(command)), "run", "--port", "0"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**inherited, "PYTHONPATH": paths, "TROUPE_HOME": str(home), "DOCS": str(docs)} | environment,
    ) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            line = next((each for each in lines if each.startswith("Serving on ")), "")
            assert line, process.stderr.read() if process.stderr else ""
            yield process, line.split()[-1]
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_server_with_streams_open(docs: Path, tmp_path: Path, number: signal.Signals) -> None:
    with started(docs, tmp_path / "home") as (process, url), httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        taken = client.post("/conversations/c1/messages", json={"text": OPENS}).json()
        answer = client.get(taken["status"], params={"wait": 30}).json()["answer"]
        assert "opens at nine" in answer["text"]
        with client.stream("GET", taken["events"]):
            process.send_signal(number)
            assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        log = process.stderr.read()
    assert "POST /conversations/*/messages 202" in log
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_an_address_for_others_without_a_key_is_one_line(troupe: Troupe) -> None:
    ran = troupe("run", "--host", "0.0.0.0")  # noqa: S104 - that this is refused is what is tested
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "set TROUPE_API_KEY" in ran.err


def test_a_port_in_use_is_one_line(troupe: Troupe) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = troupe("run", "--port", str(port))
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert f"port {port} of 127.0.0.1 is in use" in ran.err


def test_a_setting_that_cannot_be_used_is_one_line_and_shows_no_key(troupe: Troupe) -> None:
    ran = troupe("run", TROUPE_API_KEY="too short")
    assert (ran.code, ran.err.count("\n")) == (1, 1)
    assert "too short" not in ran.err
    assert troupe("run", TROUPE_MAX_OPEN="x").err.startswith("error: TROUPE_MAX_OPEN is no whole number")


def test_messages_in_flight_are_answered_by_the_version_that_is_started_next(docs: Path, tmp_path: Path) -> None:
    home, texts = tmp_path / "home", [OPENS] * 10
    holding = started(docs, home, command="holding_command.py")
    with holding as (process, url), httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        taken = [client.post("/conversations/c1/messages", json={"text": text}).json() for text in texts]
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    changed = started(docs, home, command="changed_command.py")
    with changed as (process, url), httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        asked = [client.get(each["status"], params={"wait": 30}).json() for each in taken]
        assert "watcher" not in {each["agent"] for each in asked[0]["deliveries"]}, "it finished under its own plan"
        for later in asked[1:]:
            assert "watcher" in {each["agent"] for each in later["deliveries"]}, "it had not begun"
        assert all("opens at nine" in request["answer"]["text"] for request in asked)
        answered = [datetime.fromisoformat(request["settled"]) for request in asked]
        assert answered == sorted(answered), "in the order in which they were asked"
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
