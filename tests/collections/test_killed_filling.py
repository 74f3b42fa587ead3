"""A process that fills a version, killed as the system kills."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("killed_filling.py")
BATCHES = 3  # that a process comes to before it is killed
KILLS = 10


@pytest.mark.slow
def test_killed_ten_times_under_writes_the_version_equals_a_fresh_build(tmp_path: Path) -> None:
    for life in range(KILLS):
        with start(tmp_path, life) as process:
            assert process.stdout is not None
            for _ in range(BATCHES):
                assert process.stdout.readline() == "batch\n", process.stderr.read() if process.stderr else ""
            process.kill()
            assert process.wait() == -signal.SIGKILL
    with start(tmp_path, KILLS) as process:
        out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.splitlines()[-1] == "whole and equal"


def start(home: Path, seed: int) -> subprocess.Popen[str]:
    here = SCRIPT.parent
    return subprocess.Popen(  # noqa: S603 - a script of these tests
        [sys.executable, str(SCRIPT), str(home), str(seed)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": f"{here}{os.pathsep}{here.parent}"},
    )
