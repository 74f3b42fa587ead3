"""What must hold at the end of a run. What must hold at every moment is seen by the run itself (`running.py`)."""

from collections.abc import Callable, Iterator
from datetime import timedelta

import msgspec
from simulation.running import Broken, Run
from simulation.scenarios import PATIENT_S
from simulation.topologies import CALL_TOKENS
from simulation.worlds import lease_s

from functions.adapters.local.rows import DEADLINE
from functions.events.envelope import Envelope, decode, digest, unpack
from functions.events.event import ScopeExpired
from functions.runtime.arrival import delivery_key, scope_id

LATE = timedelta(seconds=3)  # a sweep that fails is made again


def every_request_is_settled_before_its_deadline(run: Run, _calm: Run) -> Iterator[str]:
    """With one answer or one error: that there is no second one is seen while it runs."""
    for request, envelope in run.accepted.items():
        view = run.world.view(envelope)
        if view is None or view.settlement is None or view.settled is None:
            yield f"{request} has no answer and no error"
        elif view.settled > max(envelope.deadline, view.accepted) + LATE:  # a client may try again after its deadline
            yield f"{request} was settled at {view.settled}, and its deadline was {envelope.deadline}"


def nobody_waits_for_a_deadline_where_nothing_was_lost(run: Run, _calm: Run) -> Iterator[str]:
    """A failure is told to whoever waits for it: only what is lost for good is seen to by a timer."""
    if run.scenario.deadline_s != PATIENT_S or run.scenario.losing:
        return
    for request, envelope in run.accepted.items():
        view = run.world.view(envelope)
        if view and view.settled and view.settled - view.accepted > timedelta(seconds=PATIENT_S / 4):
            yield f"{request} waited until {view.settled}"


def a_lost_part_costs_only_a_part(run: Run, _calm: Run) -> Iterator[str]:
    """What is lost inside a scope is missing there: its timer closes the join, and the request has its answer."""
    if run.scenario.deadline_s != PATIENT_S or any(_is_at_the_root(run, *each) for each in run.lost):
        return
    for request, settlement in run.settled.items():
        if decode(settlement).source == DEADLINE:
            yield f"{request} has no answer, and all that was lost is {sorted(run.lost)}"


def _is_at_the_root(run: Run, event: str, agent: str) -> bool:
    envelope = run.goals[event, 0, agent]
    return len(unpack(envelope.part)) == 1 or envelope.name == ScopeExpired.__name__


def every_event_ends(run: Run, _calm: Run) -> Iterator[str]:
    """Published on, parked with a reason, or superseded: its delivery is done. Nothing is left on the bus.

    A join that lost a part, or its timer, may never come to be.
    """
    if left := run.world.waiting():
        yield f"on the bus are messages for {', '.join(left)}"
    done = {record.key for record in run.world.records() if record.finished}
    done |= {letter.key for letter in run.world.letters() if letter.reason}
    for (event, generation, agent), envelope in run.goals.items():
        if generation and run.plan.nodes[agent].spec.joins:
            continue  # it may have ended in a later generation
        lost = bool(run.lost) if run.plan.nodes[agent].spec.joins else (event, agent) in run.lost
        if not lost and _key(run, envelope, agent, generation) not in done:
            yield f"nobody is done with {envelope.type} at {agent}"


def _key(run: Run, envelope: Envelope, agent: str, generation: int) -> str:
    """Of the delivery that ends an event."""
    if not run.plan.nodes[agent].spec.joins:
        return delivery_key(msgspec.structs.replace(envelope, generation=generation), agent)
    lineage = unpack(envelope.part)
    return digest(scope_id(envelope.tenant, lineage, lineage[-1].group), agent, generation)


def no_lease_is_left(run: Run, _calm: Run) -> Iterator[str]:
    """Only a delivery whose event was lost while it was in work keeps one, and no longer than it was given for."""
    now = run.world.clock().timestamp()
    for record in run.world.records():
        given = now + lease_s({run.plan.version: run.plan}, record.agent) if run.lost else 0.0
        if record.lease_until > given:
            yield f"{record.agent} holds {record.key}"


def every_letter_says_why(run: Run, _calm: Run) -> Iterator[str]:
    """Nothing is given up without a reason."""
    yield from (f"{letter.agent} gave up {letter.key}" for letter in run.world.letters() if not letter.reason)


def every_effect_happens_once(run: Run, calm: Run) -> Iterator[str]:
    """What was said is what is said in a calm run: nothing twice, and all of it where nothing was given up."""
    if not run.scenario.patient:
        return
    said, expected = sorted(run.world.said()), sorted(calm.world.said())
    alike = _saying_alike(run)
    own = [each for each in said if each.text.partition(" ")[0] not in alike]
    if len(set(own)) < len(own) and len(set(expected)) == len(expected):
        yield f"{len(own) - len(set(own))} messages were said twice"
    if not run.world.letters() and said != expected:
        yield f"{len(said)} messages were said, and {len(expected)} are in a calm run"


def _saying_alike(run: Run) -> set[str]:
    """Joins, as those that found nothing say the same; where failures leave many so, what comes after them, too."""
    alike = {name for name, node in run.plan.nodes.items() if node.spec.joins}
    waiting = list(alike) if run.world.letters() else []
    while waiting:
        spec = run.plan.nodes[waiting.pop()].spec
        after = {
            route.agent for made in (*spec.emits, *spec.fans_out) for route in run.plan.routes.get(made.__name__, ())
        }
        waiting += after - alike
        alike |= after
    return alike


def every_delivery_has_one_key(run: Run, calm: Run) -> Iterator[str]:
    """However often something is tried, the idempotency keys are those of a calm run."""
    if run.scenario.patient and not run.world.letters() and set(run.called) != set(calm.called):
        yield f"{len(set(run.called) ^ set(calm.called))} keys differ from those of a calm run"


def the_answer_is_that_of_a_calm_run(run: Run, calm: Run) -> Iterator[str]:
    """Unless a dead letter says why not."""
    if not run.scenario.patient or run.world.letters():
        return
    for request in run.accepted:
        if _answer(run, request) != _answer(calm, request):
            yield f"{request} was answered {_answer(run, request)[:200]!r}, calmly {_answer(calm, request)[:200]!r}"


def _answer(run: Run, request: str) -> tuple[str, bytes]:
    settled = run.settled.get(request)
    if settled is None:
        return "nothing", b""
    envelope = decode(settled)
    return envelope.type, bytes(envelope.data)


def what_is_redriven_completes_its_request(run: Run, calm: Run) -> Iterator[str]:
    """Once every dead letter was redriven and nothing went wrong, there is the answer of a calm run."""
    for request, envelope in run.accepted.items() if run.redriven else ():
        view = run.world.view(envelope)
        if view is None or not view.redriven_as:
            continue
        again = run.world.view(msgspec.structs.replace(envelope, request=view.redriven_as))
        if again is None or again.settlement is None:
            yield f"{request} was redriven, and has no answer"
        elif (again.settlement.type, bytes(again.settlement.data)) != _answer(calm, request):
            yield f"{request} was redriven and answered {bytes(again.settlement.data)[:200]!r}"


def the_budget_is_kept(run: Run, _calm: Run) -> Iterator[str]:
    """But for one call."""
    budget = run.plan.workflow.budget
    for request, envelope in run.accepted.items():
        view = run.world.view(envelope)
        if view and view.tokens > budget.tokens + CALL_TOKENS:
            yield f"{request} spent {view.tokens} of {budget.tokens} tokens"


INVARIANTS: tuple[Callable[[Run, Run], Iterator[str]], ...] = (
    every_request_is_settled_before_its_deadline,
    every_event_ends,
    nobody_waits_for_a_deadline_where_nothing_was_lost,
    a_lost_part_costs_only_a_part,
    no_lease_is_left,
    every_letter_says_why,
    every_effect_happens_once,
    every_delivery_has_one_key,
    the_answer_is_that_of_a_calm_run,
    what_is_redriven_completes_its_request,
    the_budget_is_kept,
)


def check(run: Run, calm: Run) -> None:
    """Pass, or tell which promise was broken.

    Raises:
        Broken: The first of them.
    """
    for invariant in INVARIANTS:
        for problem in invariant(run, calm):
            raise Broken(invariant.__name__.replace("_", " "), problem)


def calm_twin(run: Run) -> Run:
    """The same requests where nothing goes wrong."""
    scenario = msgspec.structs.replace(run.scenario, target="memory", rate=0.0, losing=False, deadline_s=PATIENT_S)
    twin = Run(scenario, run.schedule.calm(), run.folder)
    twin.run()
    if given_up := twin.world.letters():
        raise Broken("where nothing goes wrong, nothing is given up", str(given_up[0]))
    return twin
