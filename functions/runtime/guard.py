"""What a delivery is refused for before its agent is called."""

from datetime import datetime

from functions.errors import PermanentError
from functions.ports.capability import CAPABILITIES
from functions.ports.state import Standing
from functions.runtime.agent import AgentSpec
from functions.runtime.arrival import Arrival
from functions.runtime.workflow import Node, Plan


class RefusedError(PermanentError):
    """The guard's no: a dead letter with this reason, and an `AgentFailed` along the lineage."""


def refuse(plan: Plan, node: Node, arrival: Arrival, standing: Standing, now: datetime) -> None:
    """Pass, or say why this delivery must not go on. A side branch may outlive its request's deadline.

    Raises:
        RefusedError: It passed through too many agents, its deadline is over, it is stopped, its conversation
            works at too high a rate, or its request has passed its budget and the agent does nothing without a
            model. An agent that can do without is let through: the model is what refuses it.
    """
    workflow, budget, deadline = plan.workflow, plan.workflow.budget, arrival.deadline
    if arrival.hop >= workflow.max_hops:
        raise RefusedError(
            f"passed through {arrival.hop} agents, and {workflow.name} allows {workflow.max_hops}: "
            "look for a cycle, or raise max_hops",
            reason="hops",
        )
    if standing.stopped:
        raise RefusedError(standing.stopped, reason="stopped")
    if standing.events > workflow.max_events_per_minute:
        raise RefusedError(
            f"{standing.events} events of this conversation in a minute, and {workflow.name} allows "
            f"{workflow.max_events_per_minute}: look for a fan-out that grows, or raise max_events_per_minute",
            reason="rate",
        )
    if now > deadline and not node.side:
        raise RefusedError(f"the deadline was {deadline:%H:%M:%S}, and it is {now:%H:%M:%S} (UTC)", reason="deadline")
    is_spent = standing.tokens > budget.tokens or standing.micros > budget.micros
    if is_spent and _needs_a_model(node.spec):
        raise RefusedError(
            f"spent {standing.tokens} of {budget.tokens} tokens and {standing.micros / 1e6:.4f} of "
            f"{budget.micros / 1e6:.4f} dollars: raise the workflow's budget, or ask for less",
            reason="budget",
        )


def _needs_a_model(spec: AgentSpec) -> bool:
    return any(CAPABILITIES[grant.capability] == "model" and not grant.optional for grant in spec.grants)
