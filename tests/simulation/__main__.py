"""`python -m simulation`: thousands of seeds on every core, or one seed again with some of its faults.

`SEEDS=n START=first make simulate` runs n seeds from the first one.
"""

import argparse
import multiprocessing
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence

from simulation.seeds import Outcome, replay, simulate, told

CHUNK = 20
TOLD = 5  # failures in full
EVERY_S = 10.0  # between two lines of progress


def main() -> int:
    """Run what is asked for; 1 where a promise was broken."""
    parser = argparse.ArgumentParser(prog="python -m simulation", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many seeds to run")
    parser.add_argument("--start", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="run this one alone, and print what went wrong in it")
    parser.add_argument("--faults", help="with --seed: the numbers of the faults to inject, or `none`")
    asked = parser.parse_args()
    if asked.seed is None:
        return _many(range(asked.start, asked.start + asked.seeds))
    return _one(asked.seed, asked.faults)


def _one(seed: int, faults: str | None) -> int:
    numbers = [int(each) for each in faults.split(",")] if faults not in (None, "none") else []
    outcome = simulate(seed) if faults is None else replay(seed, numbers)
    print(f"seed {seed}: {outcome.scenario}")
    for number, fault in enumerate(outcome.faults):
        print(f"  {number}: {fault.place}: {fault.kind}")
    print(f"broken: {outcome.invariant}: {outcome.detail}" if outcome.invariant else "every promise was kept")
    return int(bool(outcome.invariant))


def _many(seeds: Sequence[int]) -> int:
    started = shown = time.monotonic()
    outcomes: list[Outcome] = []
    with multiprocessing.Pool(initializer=_quiet) as pool:
        for outcome in pool.imap_unordered(simulate, seeds, chunksize=CHUNK):
            outcomes.append(outcome)
            if time.monotonic() - shown > EVERY_S:
                shown = time.monotonic()
                failed = sum(bool(each.invariant) for each in outcomes)
                print(f"{len(outcomes)} of {len(seeds)} seeds, {failed} failed, {shown - started:.0f} s", flush=True)
    return _summary(outcomes, time.monotonic() - started)


def _quiet() -> None:
    """A worker ends with its parent, without a trace of its own."""
    sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - held until the process ends


def _summary(outcomes: Sequence[Outcome], seconds: float) -> int:
    seen, scenarios = Counter[str](), Counter(outcome.scenario for outcome in outcomes)
    for outcome in outcomes:
        seen.update(outcome.seen)
    failed = sorted((outcome for outcome in outcomes if outcome.invariant), key=lambda outcome: outcome.seed)
    print(f"{len(outcomes)} seeds in {seconds:.0f} s: {len(failed)} failed")
    for names in (seen, scenarios):
        print("  " + ", ".join(f"{name}: {count}" for name, count in names.most_common()))
    for outcome in failed[:TOLD]:
        print(told(outcome.seed))
    if failed[TOLD:]:
        print(f"and seeds {', '.join(str(outcome.seed) for outcome in failed[TOLD:])}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
