"""`deliver`: the one path of an event through an agent, the same on every target.

An entry point only takes the bytes off its platform, calls `deliver`, and turns the outcome into that
platform's answer. What holds, and why, is in docs/delivery.md.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from functions.errors import PermanentError
from functions.events.decoding import decoder
from functions.events.envelope import (
    Envelope,
    MalformedEnvelopeError,
    decode,
    digest,
    type_of,
)
from functions.events.event import AgentFailed, All, Event, PartEnded
from functions.ports.blobs import Blobs
from functions.ports.state import Begun, DeadLetter, Finish, Standing, State, Task
from functions.runtime.agent import AgentSpec, Context, Delivery, Grant
from functions.runtime.arrival import (
    LEASE_MARGIN_S,
    Arrival,
    Started,
    arrive,
    claim_checked,
    claimed,
    delivery_key,
    refuse_foreign,
    task_of,
)
from functions.runtime.dead_letters import given_up, misplaced, said, unreadable
from functions.runtime.guard import refuse
from functions.runtime.outputs import envelopes, failure, request_failed, timers
from functions.runtime.workflow import Budget, Node, Plan


class Binding(msgspec.Struct, frozen=True, kw_only=True):
    """What a capability is bound to: whose data it may touch, and under which key its effects count once.

    Attributes:
        key: The idempotency key of the delivery.
        origin: The same, but for that a redrive does not change it: what was done is not done again by one.
        agent: Whose delivery it is.
        attempt: 1 at the first try.
        until: When the attempt must be over: at the agent's time limit, or at the deadline of its work.
        budget: Of the workflow: what its request may spend on models.
        workflow: Its name.
    """

    tenant: str
    conversation: str
    request: str
    key: str
    origin: str
    agent: str
    attempt: int
    until: datetime
    budget: Budget
    workflow: str = ""


class Ports(msgspec.Struct, frozen=True, kw_only=True):
    """What a target hands to a delivery.

    Attributes:
        plans: The current and the previous plans, by version.
        state: This delivery's view of the state store.
        blobs: Where large data is.
        bind: Makes a capability; None where it is optional and this stack leaves it out.
        now: The time, in UTC.
    """

    plans: Mapping[str, Plan]
    state: State
    blobs: Blobs
    bind: Callable[[Grant, Binding], object]
    now: Callable[[], datetime]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What the platform is told.

    Attributes:
        action: `acknowledge`: done with it. `retry`: the attempt failed. `defer`: somebody else is at it.
        due: When to deliver it again; None with `acknowledge`.
        error: Why, in words; empty where nothing went wrong.
    """

    action: Literal["acknowledge", "retry", "defer"]
    due: datetime | None = None
    error: str = ""


ACKNOWLEDGED = Outcome(action="acknowledge")


class Lost(msgspec.Struct, frozen=True, kw_only=True):
    """What a platform says of a message that it gave up.

    Attributes:
        reason: Short and stable, e.g. `not delivered`; see `DeadLetter.reason`.
        error: What happened, in words.
        attempts: How often it was tried, as the platform counts.
    """

    reason: str
    error: str
    attempts: int


class AgentExitedError(Exception):
    """An agent tried to end the process that it runs in."""


class UnknownPlanError(Exception):
    """An event of a plan or version that this deployment does not carry: a deploy may be under way."""


def deliver(agent: str, raw: bytes, ports: Ports) -> Outcome:
    """Take one event through one agent.

    Whatever the agent raises ends as a retry, or as a dead letter and an `AgentFailed`; what a port raises
    comes out, and the platform delivers again.
    """
    return _taken(agent, raw, ports, None)


def give_up(agent: str, raw: bytes, lost: Lost, ports: Ports) -> Outcome:
    """End the delivery of a message that the platform gave up, as its last attempt would have.

    What was stored or done already is what counts, and a join takes the part that it was. `defer` where somebody is
    at it: come again.
    """
    return _taken(agent, raw, ports, lost)


def _taken(agent: str, raw: bytes, ports: Ports, lost: Lost | None) -> Outcome:
    try:
        envelope = decode(raw)
    except MalformedEnvelopeError as error:
        return _parked(unreadable(agent, raw, error, ports.now()), ports)
    plan = ports.plans.get(envelope.planversion)
    try:
        refuse_foreign(envelope, plan.workflow.name if plan else envelope.workflow)
    except MalformedEnvelopeError as error:
        return _parked(misplaced(agent, raw, envelope, error, ports.now()), ports)
    if plan is None or agent not in plan.nodes or not _knows(plan, envelope):
        return _deliver_unplanned(agent, envelope, ports, lost)
    node = plan.nodes[agent]
    try:
        arrival = arrive(node, envelope, ports.state, ports.blobs)
    except MalformedEnvelopeError as error:
        return _parked(misplaced(agent, raw, envelope, error, ports.now()), ports)
    if arrival is None:
        return ACKNOWLEDGED
    return _Attempt(plan=plan, node=node, arrival=arrival, ports=ports, lost=lost).run()


def carry_on(started: Started, ports: Ports) -> Outcome:
    """The rest of a delivery that was begun in the write that published its event; else like `deliver`."""
    attempt = _Attempt(plan=started.plan, node=started.node, arrival=started.arrival, ports=ports)
    return attempt.proceed(started.begun)


def _parked(letter: DeadLetter, ports: Ports) -> Outcome:
    ports.state.park(letter)
    return Outcome(action="acknowledge", error=letter.error)


def _task(agent: str, envelope: Envelope) -> Task:
    """The delivery of one event of which no plan says how long it may take."""
    return Task(key=delivery_key(envelope, agent), agent=agent, envelope=envelope, lease_s=LEASE_MARGIN_S)


class _Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try of one delivery, once everything it needs is there; of one that its platform gave up, the last."""

    plan: Plan
    node: Node
    arrival: Arrival
    ports: Ports
    lost: Lost | None = None

    def run(self) -> Outcome:
        return self.proceed(self.ports.state.begin(self.task))

    def proceed(self, begun: Begun) -> Outcome:
        if begun.status == "busy":
            return Outcome(action="defer", due=begun.until)
        if begun.status == "done":
            return ACKNOWLEDGED
        if begun.outputs is not None:  # stored by an attempt that ended before it could publish
            self.finish(begun.outputs)
            return ACKNOWLEDGED
        if begun.standing.settled and not self.node.side:
            self.ports.state.supersede(self.task)
            return ACKNOWLEDGED
        return self.handle(begun.attempt, begun.standing)

    @property
    def task(self) -> Task:
        return task_of(self.node, self.arrival)

    def handle(self, attempt: int, standing: Standing) -> Outcome:
        contract = self.node.spec.delivery
        if self.lost is not None:  # this attempt only says so
            error = PermanentError(self.lost.error, reason=self.lost.reason)
            return self.failed(error, max(self.lost.attempts, attempt - 1))
        try:
            now = self.ports.now()
            refuse(self.plan, self.node, self.arrival, standing, now)
            _refuse_if_used_up(contract, attempt, self.arrival, now)
            made = _call(self.plan, self.node.spec, self.arrival, self.ports, attempt)
            outputs = envelopes(self.plan, self.node, self.arrival, made, self.ports.now())
        except Exception as error:  # noqa: BLE001 - whatever an agent raises is retried or becomes a dead letter
            return self.failed(error, attempt)
        self.finish(tuple(claim_checked(output, self.ports.blobs) for output in outputs))
        return ACKNOWLEDGED

    def finish(self, outputs: tuple[Envelope, ...], letter: DeadLetter | None = None) -> None:
        self.ports.state.finish(
            Finish(
                task=self.task,
                outputs=outputs,
                timers=timers(self.plan, self.node, outputs),
                cancelled=(self.arrival.timer,) if self.arrival.timer else (),
                settlement=next((output for output in outputs if _settles(self.plan, output)), None),
                letter=letter,
            )
        )

    def failed(self, error: Exception, attempt: int) -> Outcome:
        contract, now = self.node.spec.delivery, self.ports.now()
        due = now + timedelta(seconds=contract.backoff.after(attempt, _jitter(self.arrival.key, attempt)))
        reason = _final_reason(error, attempt, contract)
        if not reason and due > self.arrival.deadline and not self.node.side:
            reason = "deadline"
        if not reason:
            self.ports.state.release(self.task, error=said(error), due=due)
            return Outcome(action="retry", due=due, error=said(error))
        letter = given_up(self.task, reason, error, attempt, now)
        self.finish(failure(self.node, self.arrival, said(error), now), letter)
        return Outcome(action="acknowledge", error=said(error))


def _knows(plan: Plan, envelope: Envelope) -> bool:
    event = plan.events.get(envelope.name)
    return event is not None and type_of(event) == envelope.type


# -------------------------------------------------------------------------------------------- unplanned


def _deliver_unplanned(agent: str, envelope: Envelope, ports: Ports, lost: Lost | None) -> Outcome:
    """An event of another deployment: retried while a deploy may be under way, then settled with an error.

    On a side branch nobody waits for it, so it ends as a dead letter alone.
    """
    contract, task = Delivery(), _task(agent, envelope)
    plan = ports.plans.get(envelope.planversion)
    gone = plan.gone.get(agent) if plan else None
    is_awaited = gone is None or not gone.side
    begun = ports.state.begin(task)
    if begun.status == "busy":
        return Outcome(action="defer", due=begun.until)
    if begun.status == "done":
        return ACKNOWLEDGED
    if begun.outputs is not None:  # stored by an attempt that ended before it could publish
        settled = begun.outputs[0] if begun.outputs else None
        ports.state.finish(Finish(task=task, outputs=begun.outputs, settlement=settled))
        return ACKNOWLEDGED
    if begun.standing.settled and is_awaited:
        ports.state.supersede(task)
        return ACKNOWLEDGED
    error, now = _older(agent, envelope, plan), ports.now()
    due = now + timedelta(seconds=contract.backoff.after(begun.attempt, _jitter(task.key, begun.attempt)))
    if lost is None and begun.attempt < contract.attempts and (due <= envelope.deadline or not is_awaited):
        ports.state.release(task, error=str(error), due=due)
        return Outcome(action="retry", due=due, error=str(error))
    end = Finish(task=task, letter=given_up(task, "unknown plan", error, begun.attempt, now))
    if is_awaited:
        # The whole request ends, from whatever depth: an answer without this part would look like a whole one.
        settlement = request_failed(
            envelope, envelope_id=digest(task.key, agent, 0), agent=agent, reason=str(error), now=now
        )
        end = msgspec.structs.replace(end, outputs=(settlement,), settlement=settlement)
    ports.state.finish(end)
    return Outcome(action="acknowledge", error=str(error))


def _older(agent: str, envelope: Envelope, plan: Plan | None) -> UnknownPlanError:
    if plan is None:
        return UnknownPlanError(
            f"it began under an older deployment, whose plan {envelope.planversion} is not carried here: ask again"
        )
    gone = plan.gone.get(agent)
    reason = gone.reason if gone else f"{agent} knows no {envelope.type}"
    return UnknownPlanError(f"it began under an older deployment, and {reason}: ask again")


# --------------------------------------------------------------------------------------------- handling


def _call(plan: Plan, spec: AgentSpec, arrival: Arrival, ports: Ports, attempt: int) -> Event | Sequence[Event] | None:
    binding = Binding(
        tenant=arrival.envelope.tenant,
        conversation=arrival.envelope.conversation,
        request=arrival.envelope.request,
        key=arrival.key,
        origin=arrival.origin,
        agent=spec.name,
        attempt=attempt,
        until=min(arrival.deadline, ports.now() + timedelta(seconds=spec.timeout_s)),
        budget=plan.workflow.budget,
        workflow=plan.workflow.name,
    )
    extra: dict[str, Any] = {grant.parameter: ports.bind(grant, binding) for grant in spec.grants}
    if spec.context:
        used = dict(arrival.lineage[-1].rounds)
        left = {event: bound - used.get(event, 0) for event, bound in plan.bounds.items()}
        extra[spec.context] = Context(key=arrival.key, attempt=attempt, deadline=arrival.deadline, left=left)
    try:
        made: Event | Sequence[Event] | None = spec.call(_consumed(plan, spec, arrival, ports.blobs), **extra)
    except SystemExit as error:  # would end the worker, and leave the lease to run out
        raise AgentExitedError(f"{spec.name} called sys.exit({error.code!r}): raise an error instead") from error
    return made


def _consumed(plan: Plan, spec: AgentSpec, arrival: Arrival, blobs: Blobs) -> Event | All[Event]:
    if not spec.joins:
        return _event(plan, arrival.envelope, blobs)
    found = [_event(plan, part, blobs) for part in arrival.inputs]
    parts = [event for event in found if not isinstance(event, AgentFailed | PartEnded)]
    missing = [event for event in found if isinstance(event, AgentFailed)]
    silent = arrival.total - len(arrival.inputs)
    missing += [AgentFailed(agent="", reason="no result in time")] * silent
    return All(parts, missing)


def _event(plan: Plan, envelope: Envelope, blobs: Blobs) -> Event:
    try:
        event: Event = decoder(plan.events[envelope.name]).decode(claimed(envelope, blobs).data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise PermanentError(
            f"the data of {envelope.type} breaks its contract: {error}", reason="malformed data"
        ) from error
    return event


# ---------------------------------------------------------------------------------------------- failing


def _refuse_if_used_up(contract: Delivery, attempt: int, arrival: Arrival, now: datetime) -> None:
    if attempt > contract.attempts:  # the last one ended without a word: a crash, or a time limit
        raise PermanentError(f"attempt {contract.attempts} ended without a result", reason="attempts exhausted")
    age = (now - arrival.emitted).total_seconds()
    if age > contract.max_age_s:
        raise PermanentError(f"{age:.0f} s old, and its route allows {contract.max_age_s:.0f} s", reason="expired")


def _final_reason(error: Exception, attempt: int, contract: Delivery) -> str:
    """Why this failure is the last; empty where another attempt is due."""
    if isinstance(error, PermanentError):
        return error.reason
    return "attempts exhausted" if attempt >= contract.attempts else ""


def _settles(plan: Plan, output: Envelope) -> bool:
    if output.name == plan.workflow.answer.__name__:
        return True
    return output.name == AgentFailed.__name__ and not output.target


def _jitter(key: str, attempt: int) -> float:
    """From 0 to 1, spread evenly over deliveries, and the same for one attempt wherever it is worked out."""
    return int(digest(key, attempt)[:8], 16) / 0xFFFFFFFF
