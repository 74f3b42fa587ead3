"""One run: a scenario on its world, the clock, the workers, and what goes wrong around them. Nothing here is a thread.

A worker is a frame of the call stack: while it is at some point of its delivery, others may deliver, and the time may
pass its lease. A worker that dies unwinds its frame; a process that dies unwinds them all.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
from simulation.capabilities import Capabilities
from simulation.observed import Observer, Watched
from simulation.scenarios import Asking, Scenario
from simulation.schedule import Schedule
from simulation.worlds import AGAIN_S, HIDDEN_S, LocalWorld, MemoryWorld, Message, World, lease_s

from functions.errors import PermanentError
from functions.events.envelope import Envelope, decode, digest, encode, open_request
from functions.events.event import All, Event
from functions.ports.state import Finish, Gathered, Part, State
from functions.runtime.agent import AgentSpec
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan

MOST_STEPS = 4000  # of one run: what takes more goes round in circles
DEEPEST = 3  # workers at work at the same time
PLACES = 3
MOST_REDRIVES = 3  # rounds, the last of them calm
LONGEST_DELAY_S = 100.0

# How likely each fault is, at every point of its kind.
AT_A_POINT = {"fail": 0.012, "crash": 0.01, "die": 0.004, "stall": 0.003, "meanwhile": 0.03}
AT_AN_AGENT = AT_A_POINT | {"raise": 0.04, "refuse": 0.0, "stall": 0.01, "hang": 0.006, "meanwhile": 0.1}
AT_HANDING_OUT = {"duplicate": 0.1, "delay": 0.05, "vanish": 0.03}
AT_LOSING = AT_HANDING_OUT | {"lose": 0.03}

SEEN = {
    "fail": "port calls failed",
    "crash": "workers died",
    "die": "processes died",
    "stall": "workers stalled past their lease",
    "hang": "agents hung, and then gave up",
    "meanwhile": "deliveries inside another",
    "overrun": "agents at work when a deadline passed",
    "raise": "agents failed",
    "refuse": "agents gave up",
    "duplicate": "messages duplicated",
    "delay": "messages delayed",
    "vanish": "workers died before they began",
    "lose": "messages lost",
}


class PortError(Exception):
    """A port failed, as it was told to."""


class AgentError(Exception):
    """An agent failed, as it was told to."""


class WorkerDiedError(BaseException):
    """Nothing catches it but the simulation."""


class ProcessDiedError(BaseException):
    """Nothing catches it but the simulation."""


class Broken(BaseException):
    """An invariant that did not hold: no error, since the runtime must not catch it."""

    def __init__(self, invariant: str, detail: str) -> None:
        super().__init__(f"{invariant}: {detail}")
        self.invariant = invariant
        self.detail = detail


class Worker:
    """Whoever acts: a delivery in work, a client, the sweep of deadlines.

    Attributes:
        name: Of what it does, the same at every try.
        message: What it took; None for a client and the sweep.
        until: When its message is handed out again, in seconds since 1970.
        given_up: That has happened: what it still does to its message counts no more.
        state: Knows which delivery it is at.
    """

    def __init__(self, name: str, message: Message | None = None, until: float = 0.0) -> None:
        self.name = name
        self.message = message
        self.until = until
        self.given_up = False
        self.state: Watched | None = None

    def watch(self, state: State, observer: Observer) -> Watched:
        """The state as this worker uses it."""
        self.state = Watched(state, observer)
        return self.state


class Run:
    """One scenario, from its first request until nothing is left to do.

    Attributes:
        published: What went over the bus: by id and generation, its bytes.
        goals: Whom it went to: by id, generation and agent.
        lost: What was lost for good: ids and agents.
        settled: How each request ended.
        accepted: The first envelope of each request, in the order in which they came.
        called: How often the agent of each delivery was called.
        redriven: How many dead letters were.
    """

    def __init__(self, scenario: Scenario, schedule: Schedule, folder: Path) -> None:
        self.scenario = scenario
        self.schedule = schedule
        self.folder = folder
        self.published: dict[tuple[str, int], bytes] = {}
        self.goals: dict[tuple[str, int, str], Envelope] = {}
        self.lost: set[tuple[str, str]] = set()
        self.settled: dict[str, bytes] = {}
        self.accepted: dict[str, Envelope] = {}
        self.called: Counter[tuple[str, str]] = Counter()
        self.steps = 0
        self.redriven = 0
        self._problem: Broken | None = None
        self._workers: list[Worker] = []
        self._handed: Counter[str] = Counter()
        self._taken: set[str] = set()
        self._taken_before: dict[str, set[str]] = {}
        self._at_work_on: set[str] = set()
        self._given: dict[str, bytes] = {}
        self._newest: Counter[str] = Counter()
        self._joined: dict[tuple[str, int], tuple[str, ...]] = {}
        self._coming = {asking.request: asking.after_s for asking in scenario.askings}
        self.plan = self._observed(topology(scenario.workflow)[scenario.workflow.name])
        self.world = self._world(folder)
        self._started = self.world.clock().timestamp()

    def _world(self, folder: Path) -> World:
        plans = {self.plan.workflow.name: self.plan}
        capabilities = Capabilities(self.scenario, self.point)
        if self.scenario.target == "memory":
            memory = MemoryWorld(plans, self.point, self._publish, capabilities.bind)
            capabilities.world = memory
            return memory
        places = PLACES if self.scenario.target == "ahead" else 0
        local = LocalWorld(folder, plans, self.point, self._publish, capabilities.bind, places=places)
        capabilities.world = local
        return local

    # ------------------------------------------------------------------------------------------ the loop

    def run(self) -> None:
        """Until nothing is left to do.

        Raises:
            Broken: A promise was not kept on the way.
        """
        self._until_all_is_done()
        for round_ in range(1, MOST_REDRIVES + 1):
            if round_ == MOST_REDRIVES:
                self.schedule.quiet()  # so that nothing is given up any more
            if not (self.scenario.patient and self._redrive()):
                return
            self._until_all_is_done()

    def _until_all_is_done(self) -> None:
        going_on = True
        while going_on:
            with self._surviving():
                going_on = self._next()
            self._look()

    @contextmanager
    def _surviving(self) -> Iterator[None]:
        try:
            yield
        except ProcessDiedError:
            self._workers.clear()
            self.world.restart()

    def _redrive(self) -> bool:
        """Redrive what was given up; whoever does not know whether that was done does it again."""
        tried = 0
        while True:
            tried += 1
            with self._surviving():
                try:
                    with self._at_work("redrive"):
                        count = self.world.redrive()
                except (PortError, WorkerDiedError):
                    continue
                self.redriven += count
                return count > 0 or tried > 1

    def _next(self) -> bool:
        """Do one thing that is due, or go to the next time when something is; False at the end."""
        self._expire()
        asking = next((each for each in self.scenario.askings if self._is_due(each)), None)
        if asking is not None:
            self._ask(asking)
        elif (message := self._chosen()) is not None:
            self._hand(message)
        else:
            later = [self._started + after for after in self._coming.values()]
            due = min((each for each in (self.world.next_due(), *later) if each is not None), default=None)
            if due is None:
                return False
            self.world.clock.move_to(due)
        return True

    def _chosen(self) -> Message | None:
        """Of what is due, what the schedule has first; before that what others are at, to see them meet."""
        at_work = {worker.name for worker in self._workers}

        def order(message: Message) -> float:
            return self.schedule.order(message.label, self._handed[message.label]) - (message.label in at_work)

        return min(self.world.due(), key=order, default=None)

    def _hand(self, message: Message) -> None:
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise Broken("every run comes to an end", f"{message.label} is delivered again and again")
        self._handed[message.label] += 1
        if not self.world.take(message):
            return
        loses = self.scenario.losing and message.agent in self.plan.nodes  # what the runtime keeps for itself stays
        match self.schedule.fault(f"{message.label} handed out", AT_LOSING if loses else AT_HANDING_OUT):
            case "lose":
                self.lost.add((decode(message.raw).id, message.agent))
                self.world.lose(message)
                return
            case "delay":
                longest = min(self.scenario.deadline_s, LONGEST_DELAY_S)
                self.world.give_back(message, longest * self.schedule.chance("delay", message.label))
                return
            case "vanish":
                self.world.give_back(message, self._lease_s(message))
                return
            case "duplicate":
                self.world.duplicate(message)
        self._deliver(message)

    def _deliver(self, message: Message) -> None:
        lease_s = self._lease_s(message)
        with self._at_work(message.label, message, self._now() + lease_s) as worker:
            try:
                outcome = self.world.deliver(message, lambda state: worker.watch(state, self))
            except WorkerDiedError:
                again_s = lease_s
            except PortError:
                again_s = AGAIN_S
            else:
                if not worker.given_up:
                    self.world.end(message, outcome)
                return
            if not worker.given_up:
                self.world.give_back(message, again_s)

    @contextmanager
    def _at_work(self, name: str, message: Message | None = None, until: float = 0.0) -> Iterator[Worker]:
        worker = Worker(name, message, until)
        self._workers.append(worker)
        try:
            yield worker
        finally:
            if worker in self._workers:
                self._workers.remove(worker)

    def _lease_s(self, message: Message) -> float:
        return lease_s({"": self.plan}, message.agent) + HIDDEN_S

    def _now(self) -> float:
        return self.world.clock().timestamp()

    # ----------------------------------------------------------------------------------- clients, deadlines

    def _is_due(self, asking: Asking) -> bool:
        return self._coming.get(asking.request, float("inf")) <= self._now() - self._started

    def _ask(self, asking: Asking) -> None:
        """A client asks again until it knows that its request was taken."""
        envelope = self.accepted.setdefault(asking.request, self._opened(asking))
        self._taken_before.setdefault(asking.request, set(self._taken))
        self._coming[asking.request] = self._now() - self._started + AGAIN_S
        try:
            with self._at_work(f"client {asking.request}"):
                self.world.accept(envelope)
        except (PortError, WorkerDiedError):
            return
        self._taken.add(asking.request)
        del self._coming[asking.request]

    def _opened(self, asking: Asking) -> Envelope:
        now, plan = self.world.clock(), self.plan
        return open_request(
            asking.event,
            workflow=plan.workflow.name,
            planversion=plan.version,
            conversation=asking.conversation,
            request=asking.request,
            now=now,
            deadline=now + timedelta(seconds=self.scenario.deadline_s),
        )

    def _expire(self) -> None:
        """A sweep that fails is made again."""
        while True:
            try:
                with self._at_work("sweep"):
                    self.world.expire()
            except (PortError, WorkerDiedError):
                continue
            return

    # --------------------------------------------------------------------------------- what goes wrong where

    def point(self, name: str) -> None:
        """Here something may go wrong, as the schedule says."""
        self._go_wrong(name, AT_A_POINT)

    def _go_wrong(self, name: str, kinds: Mapping[str, float]) -> None:
        if self._problem:
            raise self._problem
        who = self._workers[-1].name if self._workers else "the process"
        match self.schedule.fault(f"{who} {name}", kinds):
            case "fail":
                raise PortError(f"{name} of {who} failed")
            case "raise":
                raise AgentError(f"{who} failed")
            case "refuse":
                raise PermanentError(f"{who} gave up", reason="told to")
            case "crash":
                raise WorkerDiedError
            case "die":
                raise ProcessDiedError
            case ("stall" | "overrun" | "hang") as kind:
                self._stall(least=(self.world.next_deadline() or 0.0) if kind == "overrun" else 0.0)
                self._meanwhile()
                if kind == "hang":
                    raise PermanentError(f"{who} gave up late", reason="told to")
            case "meanwhile":
                self._meanwhile()

    def _meanwhile(self) -> None:
        """Others deliver while this one is at work."""
        if len(self._workers) < DEEPEST and (message := self._chosen()) is not None:
            self._hand(message)

    def _stall(self, least: float = 0.0) -> None:
        """The time passes the lease of whoever is at work; deadlines are seen to by others meanwhile."""
        until = max([self._now(), least, *(worker.until for worker in self._workers[-1:])]) + 1.0
        while (deadline := self.world.next_deadline()) is not None and deadline <= until:
            self.world.clock.move_to(deadline)
            self._expire()
        self.world.clock.move_to(until)
        for worker in self._workers:
            if 0 < worker.until <= until and not worker.given_up:
                worker.given_up = True
                if worker.message:
                    self.world.give_back(worker.message, 0.0)

    def _observed(self, plan: Plan) -> Plan:
        """The plan, its agents watched."""
        nodes = {
            name: msgspec.structs.replace(
                node, spec=msgspec.structs.replace(node.spec, call=self._watched(node.spec, is_side=node.side))
            )
            for name, node in plan.nodes.items()
        }
        return msgspec.structs.replace(plan, nodes=nodes)

    def _watched(self, spec: AgentSpec, *, is_side: bool) -> Callable[..., Any]:
        def call(event: Event | All[Event], **extra: object) -> object:
            self._see_call(spec, event, is_side=is_side)
            kinds = AT_AN_AGENT | {"refuse": self.scenario.refuses, "overrun": self.scenario.overruns}
            self._go_wrong("before the agent", kinds)
            made = spec.call(event, **extra)
            self._go_wrong("after the agent", kinds)
            return made

        return call

    # ------------------------------------------------------------------------------------- what must hold here

    def _see_call(self, spec: AgentSpec, event: Event | All[Event], *, is_side: bool) -> None:
        """An agent is called."""
        worker = self._workers[-1]
        assert worker.state is not None
        key, now = worker.state.key, self.world.clock()
        self.called[spec.name, key] += 1
        for other in self._workers[:-1]:
            if other.state and other.state.key == key and other.state.until and other.state.until > now:
                raise Broken("one worker is at a delivery", f"two are at {worker.name}")
        holds = worker.state.until is not None and worker.state.until > now
        if holds and (digest(key, spec.name, 0), 0) in self.published:
            raise Broken("no agent is called again once its outputs are out", worker.name)
        given = msgspec.json.encode((event.parts, event.missing) if isinstance(event, All) else event)
        if self._given.setdefault(key, given) != given:
            raise Broken("every try of a delivery is given the same", worker.name)
        if not is_side and worker.message:
            if worker.state.was_settled:
                raise Broken("nobody begins work for a request that is settled", worker.name)
            if holds:  # one that stalled past its lease may wake up behind the end of its request
                self._see_order(decode(worker.message.raw).request, worker.name)

    def _see_order(self, request: str, name: str) -> None:
        """Of a conversation, a request begins once every request is settled that was taken before it was asked."""
        if request not in self.accepted:
            return  # a redrive's own
        conversation = self.accepted[request].conversation
        for other, envelope in self.accepted.items():
            before = other in self._at_work_on or other in self._taken_before[request]
            if other != request and before and envelope.conversation == conversation and not self.is_settled(envelope):
                raise Broken("the messages of a conversation come one after the other", f"{name} before {other}")
        self._at_work_on.add(request)

    def is_settled(self, envelope: Envelope) -> bool:
        """See `Observer.is_settled`."""
        view = self.world.view(envelope)
        return view is not None and view.status == "settled"

    def begins(self, key: str, attempt: int) -> None:
        """See `Observer.begins`."""
        self._newest[key] = max(attempt, self._newest[key])

    def joins(self, part: Part, gathered: Gathered) -> None:
        """See `Observer.joins`."""
        found = tuple(sorted(each.id for each in gathered.parts))
        if self._joined.setdefault((part.join, gathered.generation), found) != found:
            raise Broken("a join that is closed stays as it is", f"{part.agent}, {len(found)} of {part.total} parts")

    def gives_up(self, finish: Finish, watched: Watched) -> Callable[[], None]:
        """See `Observer.gives_up`."""
        key, agent = finish.task.key, finish.task.agent
        if watched.was_settled and not self.plan.nodes[agent].side:
            raise Broken("what is superseded is not given up", agent)
        is_late = watched.attempt < self._newest[key] and not self._letters_of(key)

        def look() -> None:
            if is_late and watched.attempt in self._letters_of(key):
                raise Broken("who gives up holds the lease", f"{agent}, attempt {watched.attempt}")

        return look

    def _letters_of(self, key: str) -> list[int]:
        """The attempts that gave up a delivery."""
        return [letter.attempt for letter in self.world.letters() if letter.key == key]

    def _publish(self, agent: str, raw: bytes) -> None:
        """Something goes over the bus; called inside a write, where nothing may be raised."""
        envelope = decode(raw)
        # a redrive sends an event again to each of its agents that gave up, at the turn and under the request of each
        said = bytes(envelope.data) if envelope.generation else raw
        found = self.published.setdefault((envelope.id, envelope.generation), said)
        self.goals[envelope.id, envelope.generation, agent] = envelope
        if found != said:
            self._problem = Broken("an id stands for one event", f"{envelope.type} for {agent} was published twice")

    def _look(self) -> None:
        """Between two deliveries."""
        if self._problem:
            raise self._problem
        for request, envelope in self.accepted.items():
            view = self.world.view(envelope)
            if view is None or view.settlement is None:
                continue
            settlement = encode(view.settlement)
            if self.settled.setdefault(request, settlement) != settlement:
                raise Broken("a request is settled once", request)
