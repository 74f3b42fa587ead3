"""What an agent may do, and which part of its signature says so."""

import inspect
import re
from typing import Any

import msgspec

from functions.ports.capability import CAPABILITIES
from functions.runtime.agent import AgentSpec, Grant
from functions.runtime.workflow import Plan


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is true of an agent, and the part of its signature that says so."""

    topic: str
    says: str
    because: str


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """An agent in one workflow."""

    agent: str
    workflow: str
    file: str
    purpose: str
    lines: tuple[Line, ...]


def explain(plan: Plan, agent: str) -> Explanation:
    """Everything the signature of an agent decides.

    Raises:
        KeyError: The workflow has no such agent.
    """
    node = plan.nodes[agent]
    spec = node.spec
    signature = inspect.signature(spec.call)
    first = next(iter(signature.parameters.values()))
    returned = _text(signature.return_annotation)
    lines = [
        _consumed(spec, f"{first.name}: {_text(first.annotation)}"),
        *_emitted(spec, plan, f"-> {returned}"),
        *(_granted(grant, signature.parameters[grant.parameter]) for grant in spec.grants),
    ]
    if spec.context:
        lines.append(
            Line(
                topic="is told",
                says="its idempotency key, the attempt, the deadline and what bounds leave",
                because=f"{spec.context}: Context",
            )
        )
    lines.append(_limits(spec))
    if node.side:
        lines.append(Line(topic="place", says="a side branch: nobody waits for it", because=f"-> {returned}"))
    return Explanation(
        agent=agent,
        workflow=plan.workflow.name,
        file=f"{spec.call.__module__.replace('.', '/')}.py:{spec.call.__code__.co_firstlineno}",
        purpose=inspect.cleandoc(spec.call.__doc__ or "").partition("\n")[0],
        lines=tuple(lines),
    )


def _consumed(spec: AgentSpec, because: str) -> Line:
    events = " or ".join(event.__name__ for event in spec.consumes)
    says = f"every part of the fan-out: {events}" if spec.joins else events
    if spec.where:
        narrowed = {name: value for name, value in msgspec.structs.asdict(spec.where).items() if value is not None}
        says += f", where {' and '.join(f'{name} is {value}' for name, value in narrowed.items())}"
    return Line(topic="consumes", says=says, because=because)


def _emitted(spec: AgentSpec, plan: Plan, because: str) -> list[Line]:
    lines = []
    for event in spec.emits:
        bound = plan.bounds.get(event.__name__)
        limited = f", at most {bound} times in a scope" if bound else ""
        lines.append(Line(topic="may emit", says=f"{event.__name__}{limited}", because=because))
    if spec.fans_out:
        events = " or ".join(event.__name__ for event in spec.fans_out)
        lines.append(Line(topic="fans out", says=f"any number of {events}, in parallel", because=because))
    if spec.may_end:
        lines.append(Line(topic="may end", says="without an event", because=because))
    return lines


def _granted(grant: Grant, parameter: inspect.Parameter) -> Line:
    capability: Any = grant.capability
    methods = [name for name, member in vars(capability).items() if callable(member) and not name.startswith("_")]
    optional = ", where the stack has it" if grant.optional else ""
    return Line(
        topic="may",
        says=f"{' and '.join(methods)} on the {CAPABILITIES[capability]} {grant.resource!r}{optional}",
        because=f"{parameter.name}: {_text(parameter.annotation)}",
    )


def _limits(spec: AgentSpec) -> Line:
    contract = spec.delivery
    return Line(
        topic="is given",
        says=(
            f"{spec.memory_mb} MB, {spec.timeout_s} s, {contract.attempts} attempts "
            f"{contract.backoff.minimum_s:g} to {contract.backoff.maximum_s:g} s apart"
        ),
        because="@agent(...)",
    )


def _text(annotation: object) -> str:
    """The annotation as it was written, without module names."""
    return re.sub(r"\b(?:[a-z_]\w*\.)+(?=[A-Za-z_])", "", inspect.formatannotation(annotation))
