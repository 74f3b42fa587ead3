"""Seeded schedules that shuffle, duplicate, drop and crash deliveries, over the shipped store and `deliver`."""

import random
from pathlib import Path

import pytest
from harness import Harness
from sample_workflows import BOOK, BOOK_ANSWER, Answered, BookAsked

from functions.adapters.local.due import Entry
from functions.adapters.local.rows import DEADLINE
from functions.events.event import AgentFailed
from functions.ports.state import State
from functions.runtime.workflow import Workflow

SEEDS = 150
BATCHES = 10  # of seeds, so that the cores share them
LEASE_S = 36.0  # past what the store grants, when a platform delivers again what a dead worker held
PLACES = (0, 3)  # how many deliveries may be begun with the end of another
STEPS = ("gather", "close", "begin", "finish", "release", "supersede", "park")


class CrashError(BaseException):
    """The worker dies: nothing catches it."""


class CrashingState:
    """A state that kills its worker before or after one of its steps."""

    def __init__(self, state: State, before: bool, step: int) -> None:  # noqa: FBT001 - a coin's two sides
        self._state = state
        self._before = before
        self._left = step

    def __getattr__(self, name: str) -> object:
        assert name in STEPS
        wrapped = getattr(self._state, name)

        def step(*arguments: object, **named: object) -> object:
            self._left -= 1
            if self._left == 0 and self._before:
                raise CrashError
            result = wrapped(*arguments, **named)
            if self._left == 0:
                raise CrashError
            return result

        return step


def _later(process: Harness, entry: Entry) -> Entry:
    """The entry as its platform delivers it again once the lease of its worker is over."""
    return entry.later(process.clock().timestamp() + LEASE_S)


class Chaos:
    """One seed's schedule over one process, or several after one another."""

    def __init__(self, folder: Path, workflow: Workflow, seed: int, *, losing: float, places: int) -> None:
        self.random = random.Random(seed)  # noqa: S311 - a schedule that can be repeated
        self.losing = losing
        self.duplicates: list[tuple[Entry, bytes]] = []
        self.depth = 0
        self.settled: dict[str, bytes] = {}
        self._use(Harness(folder, workflow, places=places))

    def _use(self, process: Harness) -> None:
        self.process = process
        self.process.script.meanwhile = self._interleave
        process.store._writer.execute("PRAGMA synchronous = OFF")  # no test pulls the plug

    def run(self) -> None:
        while True:
            while (due := self._due_or_duplicate()) is not None:
                self._deliver(*due)
                self._see_settlements()
            later = self.process.bus.next_due()
            if later is None:
                return
            self.process.clock.move_to(later)

    def _due_or_duplicate(self) -> tuple[Entry, bytes] | None:
        """One of the deliveries that are due or came before, at random."""
        bus, entries = self.process.bus, list[Entry]()
        while (entry := bus.take_due()) is not None:
            entries.append(entry)
        self.random.shuffle(entries)
        chosen = None
        while entries and chosen is None:
            entry = entries.pop()
            raw = bus.envelope(entry)
            chosen = None if raw is None else (entry, raw)
        bus.announce(entries)
        if self.duplicates and (chosen is None or self.random.random() < 0.1):
            if chosen is not None:
                bus.announce([chosen[0]])
            return self.duplicates.pop(self.random.randrange(len(self.duplicates)))
        return chosen

    def _deliver(self, entry: Entry, raw: bytes) -> None:
        process, later = self.process, _later(self.process, entry)
        if entry.agent == DEADLINE:
            process.deliver(entry)
        elif self.random.random() < self.losing:
            process.store.write(
                lambda connection: connection.execute("DELETE FROM queue WHERE receipt = ?", (entry.receipt,))
            )
        elif self.random.random() < 0.06:  # handed to a worker that vanished before it began
            process.bus.announce([later])
        else:
            if self.random.random() < 0.15:
                self.duplicates.append((entry._replace(started=None), raw))
            self._deliver_or_crash(entry, raw)

    def _deliver_or_crash(self, entry: Entry, raw: bytes) -> None:
        process = self.process
        crashes = self.random.random() < 0.12
        before, step = self.random.random() < 0.5, self.random.randint(1, 3)
        try:
            process.deliver_again(
                entry,
                raw,
                lambda state: CrashingState(state, before, step) if crashes else state,
            )
        except CrashError:
            if self.depth == 0 and self.random.random() < 0.4:
                script = process.script
                self._use(process.restarted())
                self.process.script = script
            else:
                process.bus.announce([_later(process, entry)])

    def _interleave(self) -> None:
        """While an agent is at work, other workers deliver."""
        if self.depth < 3 and self.random.random() < 0.2:
            self.depth += 1
            due = self._due_or_duplicate()
            if due is not None:
                self._deliver(*due)
            self.depth -= 1

    def _see_settlements(self) -> None:
        rows = self.process.store.read("SELECT request, settlement FROM request WHERE settlement IS NOT NULL")
        for request, settlement in rows:
            assert self.settled.setdefault(request, settlement) == settlement, "a request was settled twice"


ANSWERS = {"r1": BOOK_ANSWER, "r2": Answered(texts=("Sp0.0",))}


def start(process: Harness) -> None:
    process.start(BookAsked(), request="r1", deadline_s=500_000.0)
    process.start(BookAsked(chapters=1, sections=1), request="r2", deadline_s=500_000.0)


@pytest.fixture(scope="module")
def calm_effects(tmp_path_factory: pytest.TempPathFactory) -> set[tuple[str, str]]:
    """What the agents did, by idempotency key, where nothing went wrong."""
    process = Harness(tmp_path_factory.mktemp("calm"), BOOK)
    start(process)
    process.run()
    assert {request: process.settlement(request) for request in ANSWERS} == ANSWERS
    process.store.close()
    return set(process.script.effects)


@pytest.mark.parametrize("batch", range(BATCHES))
@pytest.mark.parametrize("places", PLACES)
def test_every_request_has_one_answer_and_every_effect_one_key_whatever_the_schedule(
    tmp_path: Path, batch: int, places: int, calm_effects: set[tuple[str, str]]
) -> None:
    given_up = 0
    for seed in range(batch, SEEDS, BATCHES):
        chaos = Chaos(tmp_path / str(seed), BOOK, seed, losing=0.0, places=places)
        start(chaos.process)
        chaos.run()
        process = chaos.process
        assert sorted(chaos.settled) == list(ANSWERS), seed
        assert set(process.script.effects) <= calm_effects, seed
        if process.letters():
            given_up += 1
        else:
            assert {request: process.settlement(request) for request in ANSWERS} == ANSWERS, seed
            assert set(process.script.effects) == calm_effects, seed
        assert process.bus.depth() == 0, seed
        assert process.store.read("SELECT agent, key FROM delivery WHERE finished IS NULL") == [], seed
        assert process.leases() == [], seed
        process.store.close()
    assert given_up < SEEDS / BATCHES / 2, "most schedules must end without a dead letter to prove anything"


@pytest.mark.parametrize("batch", range(2))
@pytest.mark.parametrize("places", PLACES)
def test_events_that_are_lost_for_good_cost_parts_of_the_answer_and_hang_nothing(
    tmp_path: Path, batch: int, places: int, calm_effects: set[tuple[str, str]]
) -> None:
    degraded = 0
    for seed in range(batch, 20, 2):
        chaos = Chaos(tmp_path / str(seed), BOOK, seed, losing=0.03, places=places)
        start(chaos.process)
        chaos.run()
        process = chaos.process
        assert sorted(chaos.settled) == list(ANSWERS), seed
        for request, answer in ANSWERS.items():
            settlement = process.settlement(request)
            assert isinstance(settlement, Answered | AgentFailed), seed
            degraded += settlement != answer
        assert set(process.script.effects) <= calm_effects, seed
        assert process.bus.depth() == 0, seed
        now = process.clock().timestamp()
        assert process.store.read("SELECT agent FROM delivery WHERE lease_until > ?", (now,)) == [], seed
        process.store.close()
    assert degraded, "some of these schedules must lose a part to prove anything"
