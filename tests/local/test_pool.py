"""The worker threads: who holds what, and what becomes of a worker that hangs."""

import ast
import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from local_fakes import PATIENCE_S, Clock, settled, wait_for

from functions.adapters.local.state import LocalState
from functions.adapters.local.store import Store, StoreError
from functions.events.event import All, Event
from functions.runtime.agent import Context, agent
from functions.runtime.arrival import LEASE_MARGIN_S
from functions.runtime.workflow import Workflow
from local.process import LocalProcess

ROOT = Path(__file__).parents[2]


class JobRequested(Event):
    name: str
    turn: int = 0


class JobDone(Event):
    name: str


class Site:
    """Where the agents of these tests work: one test at a time looks at it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.holders: Counter[str] = Counter()
        self.most = 0
        self.runs: Counter[str] = Counter()
        self.turns: dict[str, list[int]] = defaultdict(list)
        self.during: Callable[[JobRequested, Context], None] = lambda _event, _context: None

    def work(self, event: JobRequested, context: Context) -> None:
        with self.lock:
            self.holders[context.key] += 1
            self.runs[context.key] += 1
            self.most = max(self.most, *self.holders.values())
            self.turns[event.name].append(event.turn)
        self.during(event, context)
        with self.lock:
            self.holders[context.key] -= 1


site = Site()


@agent(timeout_s=1)
def worker(event: JobRequested, *, context: Context) -> JobDone:
    site.work(event, context)
    return JobDone(name=event.name)


class PartRequested(Event):
    name: str


class PartDone(Event):
    name: str


@agent(timeout_s=1)
def divider(event: JobRequested) -> list[PartRequested]:
    return [PartRequested(name=f"{event.name}/{part}") for part in range(3)]


@agent(timeout_s=1)
def part_worker(event: PartRequested, *, context: Context) -> PartDone:
    site.work(JobRequested(name=event.name), context)
    return PartDone(name=event.name)


@agent(timeout_s=1)
def gatherer(parts: All[PartDone]) -> JobDone:
    return JobDone(name=" ".join(part.name for part in parts))


PARTED = {
    "jobs": Workflow(name="jobs", agents=(divider, part_worker, gatherer), entry=JobRequested, answer=JobDone),
}
JOBS = {"jobs": Workflow(name="jobs", agents=(worker,), entry=JobRequested, answer=JobDone)}


@pytest.fixture(autouse=True)
def _new_site() -> Iterator[None]:
    site.__init__()  # type: ignore[misc]
    yield
    site.during = lambda _event, _context: None


def submit(process: LocalProcess, name: str, *, conversation: str = "", turn: int = 0, request: str = "") -> str:
    request = request or f"{name}-{turn}"
    event = JobRequested(name=name, turn=turn)
    process.submit("jobs", event, conversation=conversation or request, request=request)
    return request


def test_no_delivery_is_ever_held_by_two_workers(open_store: Callable[[], Store]) -> None:
    with LocalProcess(open_store(), JOBS, {}) as process:
        requests = [submit(process, f"job{number}") for number in range(300)]
        for request in requests:
            assert settled(process, request).settlement
    assert site.most == 1
    assert len(site.runs) == 300
    assert set(site.runs.values()) == {1}, "each was worked on once"


def test_the_workers_work_at_the_same_time(open_store: Callable[[], Store]) -> None:
    meeting = threading.Barrier(4)
    site.during = lambda _event, _context: meeting.wait(PATIENCE_S) and None
    with LocalProcess(open_store(), JOBS, {}, workers=4) as process:
        for request in [submit(process, f"job{number}") for number in range(4)]:
            settled(process, request)
    assert not meeting.broken


def test_the_messages_of_one_conversation_are_worked_on_in_order(open_store: Callable[[], Store]) -> None:
    with LocalProcess(open_store(), JOBS, {}) as process:
        requests = [
            submit(process, f"talk{talk}", conversation=f"talk{talk}", turn=turn)
            for turn in range(15)
            for talk in range(8)
        ]
        for request in requests:
            settled(process, request)
    assert len(site.turns) == 8
    assert all(turns == list(range(15)) for turns in site.turns.values())


def test_a_message_waits_for_the_one_before_it_in_its_conversation_and_for_no_other(
    open_store: Callable[[], Store],
) -> None:
    go_on, started = threading.Event(), threading.Event()

    def block_the_first(event: JobRequested, _context: Context) -> None:
        if (event.name, event.turn) == ("talk", 0):
            started.set()
            wait_for(go_on)

    site.during = block_the_first
    with LocalProcess(open_store(), JOBS, {}) as process:
        first = submit(process, "talk", conversation="talk", turn=0)
        second = submit(process, "talk", conversation="talk", turn=1)
        wait_for(started)
        settled(process, submit(process, "another"))
        view = process.requests.view(second, tenant="default")
        assert view is not None
        assert view.status == "waiting"
        go_on.set()
        settled(process, first)
        settled(process, second)


def test_an_idle_worker_wakes_for_new_work_though_no_time_passes(open_store: Callable[[], Store]) -> None:
    with LocalProcess(open_store(), JOBS, {}, workers=1, now=Clock()) as process:
        for number in range(3):
            settled(process, submit(process, f"job{number}"))


def test_a_worker_that_hangs_past_its_lease_is_replaced_and_the_first_to_finish_counts(
    open_store: Callable[[], Store],
) -> None:
    clock, hanging, let_go, came_back = Clock(), threading.Event(), threading.Event(), threading.Event()

    def hang_at_first(_event: JobRequested, context: Context) -> None:
        if context.attempt == 1:
            hanging.set()
            wait_for(let_go)
            came_back.set()

    site.during = hang_at_first
    with LocalProcess(open_store(), JOBS, {}, workers=1, now=clock) as process:
        request = submit(process, "job")
        wait_for(hanging)
        (lost,) = process._pool._holding
        clock.advance(1 + LEASE_MARGIN_S + 1)
        _look_at_the_clock(process)
        view = settled(process, request)
        assert view.settlement is not None
        assert view.settlement.name == "JobDone"
        let_go.set()
        wait_for(came_back)
        lost.join(PATIENCE_S)
        assert not lost.is_alive(), "its place was taken"
        assert process.requests.view(request, tenant="default") == view
        (delivery,) = process.requests.deliveries(request, tenant="default")
        assert delivery.attempts == 2
        settled(process, submit(process, "next"))


def test_a_slow_part_holds_back_no_other_part_and_no_other_request(open_store: Callable[[], Store]) -> None:
    slow, let_go = threading.Event(), threading.Event()
    others = threading.Semaphore(0)

    def hold_the_first(event: JobRequested, _context: Context) -> None:
        if event.name == "slow/0":
            slow.set()
            wait_for(let_go)
        elif event.name.startswith("slow"):
            others.release()

    site.during = hold_the_first
    with LocalProcess(open_store(), PARTED, {}, workers=2) as process:
        request = submit(process, "slow")
        wait_for(slow)
        assert all(others.acquire(timeout=PATIENCE_S) for _ in range(2))
        for number in range(5):
            settled(process, submit(process, f"fast{number}"))
        view = process.requests.view(request, tenant="default")
        assert view is not None
        assert view.status == "running"
        let_go.set()
        assert settled(process, request).settlement
    assert site.most == 1


def test_a_long_way_of_many_requests_ends_with_one_attempt_of_each_step(open_store: Callable[[], Store]) -> None:
    with LocalProcess(open_store(), PARTED, {}, workers=3) as process:
        requests = [submit(process, f"job{number}") for number in range(60)]
        for request in requests:
            assert settled(process, request).settlement
            deliveries = process.requests.deliveries(request, tenant="default")
            assert [each.attempts for each in deliveries] == [1] * 5
        assert process._bus.depth() == 0
    assert site.most == 1


def test_a_delivery_whose_end_could_not_be_written_is_tried_again(
    open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = threading.Event()

    def breaking_once(original: Callable[..., None]) -> Callable[..., None]:
        def submit(store: Store, operation: Callable[..., object], then: Callable[..., None]) -> None:
            if broken.is_set():
                original(store, operation, then)
            else:
                broken.set()
                then(None, StoreError("the disk is full"))

        return submit

    for name in ("submit", "submit_at_once"):
        monkeypatch.setattr(Store, name, breaking_once(getattr(Store, name)))
    with LocalProcess(open_store(), JOBS, {}, workers=1) as process:
        request = submit(process, "job")
        assert settled(process, request).settlement
        (delivery,) = process.requests.deliveries(request, tenant="default")
        assert delivery.attempts == 2


def test_a_deadline_is_kept_while_every_worker_is_at_work(open_store: Callable[[], Store]) -> None:
    clock, at_work, let_go = Clock(), threading.Event(), threading.Event()

    def hold(_event: JobRequested, _context: Context) -> None:
        at_work.set()
        wait_for(let_go)

    site.during = hold
    with LocalProcess(open_store(), JOBS, {}, workers=1, now=clock) as process:
        request = submit(process, "job")
        wait_for(at_work)
        clock.advance(JOBS["jobs"].deadline_s + 1)
        with process._bus._deadlines._changed:
            process._bus._deadlines._changed.notify_all()
        view = settled(process, request)
        let_go.set()
    assert view.settlement is not None
    assert view.settlement.name == "AgentFailed"


def test_a_stop_does_not_wait_for_ever_for_a_worker_that_hangs(open_store: Callable[[], Store]) -> None:
    hanging, let_go = threading.Event(), threading.Event()

    def hang(_event: JobRequested, _context: Context) -> None:
        hanging.set()
        wait_for(let_go)

    site.during = hang
    process = LocalProcess(open_store(), JOBS, {}, workers=1)
    process._pool.start()
    submit(process, "job")
    wait_for(hanging)
    (held,) = process._pool._holding
    assert not process._pool.stop(0.0)
    let_go.set()
    held.join(PATIENCE_S)
    assert not held.is_alive()


def test_nothing_that_runs_in_the_process_sleeps_or_polls() -> None:
    """Threads wait on conditions, which wake them the moment there is work."""
    files = [*(ROOT / "local").glob("*.py"), *(ROOT / "functions" / "adapters" / "local").glob("*.py")]
    sleeps = [
        (file.name, node.lineno)
        for file in files
        if file.name != "members.py"  # while another process opens the store
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Attribute | ast.Name) and getattr(node, "attr", getattr(node, "id", "")) == "sleep"
    ]
    assert len(files) > 5
    assert sleeps == []


def _look_at_the_clock(process: LocalProcess) -> None:
    """Time that only a test moves wakes nobody by itself."""
    for condition in (process._pool._changed, process._bus._deliveries._changed):
        with condition:
            condition.notify_all()


def test_a_lease_that_could_not_be_given_back_is_given_back_once_the_store_can_be_written(
    open_store: Callable[[], Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def full_at_first(original: Callable[..., None], name: str) -> Callable[..., None]:
        def call(state: LocalState, *given: object) -> None:
            if name in said:
                said.append(f"{name} again")
                original(state, *given)
            else:
                said.append(name)
                raise StoreError("the disk is full")

        return call

    for name in ("finish", "abandon"):
        monkeypatch.setattr(LocalState, name, full_at_first(getattr(LocalState, name), name))
    with LocalProcess(open_store(), JOBS, {}, workers=1) as process:
        assert settled(process, submit(process, "job")).settlement
    assert said == ["finish", "abandon", "abandon again", "finish again"]
