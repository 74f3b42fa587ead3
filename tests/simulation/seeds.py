"""One seed: run, checked, and where it fails shrunk to the faults that it takes."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
from simulation.invariants import calm_twin, check
from simulation.running import SEEN, Broken, Run
from simulation.scenarios import Scenario, scenario
from simulation.schedule import Fault, Schedule

from functions.adapters.local.store import Store

MEMORY = Path("/dev/shm")  # noqa: S108 - a file system in memory, where there is one
MOST_TRIES = 300  # to shrink one schedule


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a seed.

    Attributes:
        invariant: What was broken; empty where everything held.
        faults: What went wrong, in order: a fault's number is its place here.
        trace: What was published and how each request was settled: the same for the same seed.
        seen: How often each kind of thing happened.
    """

    seed: int
    scenario: str
    invariant: str = ""
    detail: str = ""
    faults: tuple[Fault, ...] = ()
    trace: tuple[bytes, ...] = ()
    seen: dict[str, int] = {}


Change = Callable[[Scenario], Scenario]


def simulate(seed: int, *, allowed: frozenset[str] | None = None, change: Change = lambda same: same) -> Outcome:
    """Run one seed; with `allowed`, faults happen at these places alone."""
    chosen = change(scenario(seed))
    schedule = Schedule(seed, rate=chosen.rate, allowed=allowed)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        run = Run(chosen, schedule, _fresh_store(Path(folder)))
        broken: Broken | None = None
        try:
            run.run()
            check(run, calm_twin(run))
        except Broken as found:
            broken = found
        finally:
            seen = Counter(SEEN[fault.kind] for fault in schedule.injected)
            seen["deliveries"] = run.steps
            if broken is None:
                seen["dead letters"] = len(run.world.letters())
            run.world.close()
    return Outcome(
        seed=seed,
        scenario=f"{chosen.name} on {chosen.target}",
        invariant=broken.invariant if broken else "",
        detail=broken.detail if broken else "",
        faults=tuple(schedule.injected),
        trace=(*run.published.values(), *run.settled.values()),
        seen=dict(seen),
    )


def _fresh_store(folder: Path) -> Path:
    """A store with its tables and nothing in them: made once, copied for each run."""
    made = folder / "store"
    if not _TEMPLATE:
        Store(made).close()
        _TEMPLATE.append((made / "troupe.sqlite").read_bytes())
        shutil.rmtree(made)
    made.mkdir()
    (made / "troupe.sqlite").write_bytes(_TEMPLATE[0])
    return made


_TEMPLATE: list[bytes] = []


def shrunk(outcome: Outcome, *, change: Change = lambda same: same) -> Outcome:
    """The same promise broken by as few of the same faults as this finds: by halves, then one by one."""
    places = [fault.place for fault in outcome.faults]
    best, tries, size = outcome, 0, max(1, len(places) // 2)
    while places and tries < MOST_TRIES:
        for start in range(0, len(places), size):
            fewer = places[:start] + places[start + size :]
            tries += 1
            found = simulate(outcome.seed, allowed=frozenset(fewer), change=change)
            if found.invariant == outcome.invariant:
                best, places = found, [fault.place for fault in found.faults]
                break
        else:
            if size == 1:
                break
            size = max(1, size // 2)
    return best


def numbers(whole: Outcome, part: Outcome) -> str:
    """The faults of a shrunk run, by their numbers in the whole one."""
    places = [fault.place for fault in whole.faults]
    return ",".join(str(places.index(fault.place)) for fault in part.faults)


def told(seed: int, *, change: Change = lambda same: same) -> str:
    """What a person needs of a seed that failed: the promise, the shortest schedule, and how to see it again."""
    whole = simulate(seed, change=change)
    if not whole.invariant:
        return ""
    part = shrunk(whole, change=change)
    lines = [f"seed {seed} ({whole.scenario}) breaks: {part.invariant}: {part.detail}"]
    lines += [f"  {fault.place}: {fault.kind}" for fault in part.faults]
    lines.append(f"again: {command(seed, numbers(whole, part))}")
    return "\n".join(lines)


def command(seed: int, faults: str) -> str:
    """What replays a schedule."""
    return f"PYTHONPATH=tests .venv/bin/python -m simulation --seed {seed} --faults {faults or 'none'}"


def replay(seed: int, faults: Sequence[int]) -> Outcome:
    """A seed with these of its faults alone."""
    whole = simulate(seed)
    return simulate(seed, allowed=frozenset(whole.faults[number].place for number in faults))
