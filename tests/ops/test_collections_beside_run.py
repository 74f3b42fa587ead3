"""An encoder is changed under a `troupe run` at work, which answers all the time; with real processes."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest
from command import Troupe
from small_encoder import SmallEncoder

from functions.adapters.encoders.registry import Carried, CarriedEncoders
from local import keeping as keeping_module

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0
OPENS = "When does the office open?"


@pytest.fixture(autouse=True)
def _carried(monkeypatch: pytest.MonkeyPatch) -> None:
    def carried(*_: object) -> CarriedEncoders:
        return CarriedEncoders(
            [
                Carried(
                    name=name, version=f"{name}.version", dimension=256, open=partial(SmallEncoder, f"{name}.version")
                )
                for name in ("one", "two")
            ]
        )

    monkeypatch.setattr(keeping_module, "registered", carried)


@contextmanager
def at_work(docs: Path, home: Path, encoders: str) -> Iterator[tuple[int, str]]:
    """`troupe run` with these encoders: its process id, and where it serves."""
    paths = os.pathsep.join(str(path) for path in (ROOT, ROOT / "tests"))
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "TROUPE_"))}
    own = {"PYTHONPATH": paths, "TROUPE_HOME": str(home), "DOCS": str(docs), "ENCODERS": encoders}
    with subprocess.Popen(  # noqa: S603 - every argument is this test's own
        [sys.executable, str(Path(__file__).with_name("two_encoders_command.py")), "run", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env=inherited | own,
    ) as process:
        try:
            assert process.stdout is not None
            lines = iter(process.stdout.readline, "")
            line = next((each for each in lines if each.startswith("Serving on ")), "")
            assert line
            yield process.pid, line.split()[-1]
        finally:
            process.kill()


def answer(client: httpx.Client, conversation: str) -> str:
    taken = client.post(f"/conversations/{conversation}/messages", json={"text": OPENS}).json()
    text: str = client.get(taken["status"], params={"wait": 30}).json()["answer"]["text"]
    return text


def test_the_encoder_changes_under_a_server_that_answers_all_the_time(
    troupe: Troupe, docs: Path, tmp_path: Path
) -> None:
    home = tmp_path / "home"
    with at_work(docs, home, "one") as (pid, _):
        name = next(
            each["name"] for each in troupe("collections", "list", "--json").json() if each["name"] != "memories"
        )
        refused = troupe("collections", "migrate", name, "--encoder", "two")
        assert refused.code == 1
        assert f"process {pid} does not carry two.version" in refused.err

    with at_work(docs, home, "one two") as (pid, url), httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        answers, stopping = list[str](), threading.Event()

        def ask() -> None:
            while not stopping.is_set():
                answers.append(answer(client, f"c{len(answers)}"))

        asking = threading.Thread(target=ask)
        asking.start()
        moved = troupe("collections", "migrate", name, "--encoder", "two", "--json").json()
        assert [(each["number"], each["phase"]) for each in moved["versions"]] == [(1, "whole"), (2, "whole")]
        assert troupe("collections", "evaluate", name, "--samples", "1", "--json").code == 0
        for command in ("switch", "rollback", "switch"):
            assert troupe("collections", command, name, "--json").code == 0
        said = troupe("collections", "drop", name, "1", "--yes").out
        assert f"process {pid} removes its points" in " ".join(said.split())
        before = len(answers)
        while len(answers) < before + 2 and asking.is_alive():
            stopping.wait(0.01)
        stopping.set()
        asking.join()
    assert len(answers) >= before + 2
    assert all("opens at nine" in each for each in answers)

    with at_work(docs, home, "one two") as (_, url), httpx.Client(base_url=url, timeout=PATIENCE_S) as client:
        assert "opens at nine" in answer(client, "after a restart")
    (left,) = (each for each in troupe("collections", "list", "--json").json() if each["name"] == name)
    assert [each["layout"]["encoder"] for each in left["versions"]] == ["two.version"]
