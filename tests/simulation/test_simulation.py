"""Seeds of the simulation (docs/simulation.md); `make simulate` runs thousands of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from simulation.seeds import command, simulate, told

ROOT = Path(__file__).parents[2]
SEEDS = 200
BATCHES = 20  # so that the cores share them


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_promise_is_kept_whatever_goes_wrong(batch: int) -> None:
    for seed in range(batch, SEEDS, BATCHES):
        if simulate(seed).invariant:
            pytest.fail(told(seed), pytrace=False)


def test_a_seed_gives_the_same_run_in_every_process() -> None:
    program = (
        "import hashlib; from simulation.seeds import simulate\n"
        "runs = [simulate(seed) for seed in range(1000, 1012)]\n"
        "print(hashlib.sha256(repr([(run.trace, run.faults, run.seen) for run in runs]).encode()).hexdigest())"
    )
    said = {
        subprocess.run(  # noqa: S603 - this interpreter, with the program above
            [sys.executable, "-c", program],
            cwd=ROOT,
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": "tests"},
            capture_output=True,
            text=True,
            check=True,
            timeout=100,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(said) == 1


def test_what_replays_a_schedule_runs() -> None:
    shell = f"{command(3, '0,1')}".replace(".venv/bin/python", sys.executable)
    done = subprocess.run(shell, shell=True, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)  # noqa: S602
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout.endswith("every promise was kept\n")
