"""The plans that a function works by: those of this deployment, with what the stack changes, and older ones."""

import logging
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import msgspec

from functions.entry_points.aws.environment import Contract, Deployed
from functions.errors import TroupeError
from functions.runtime.agent import AgentSpec, Backoff, Delivery
from functions.runtime.plans import Incompatible, revived
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan, Workflow

PREFIX: Final = "plans/"  # of their keys in the bucket
UNKNOWN_S: Final = 30.0  # a plan that was not there is looked for again after so long
_VERSION = re.compile(r"[0-9A-Za-z]{1,64}")

log = logging.getLogger("troupe.plans")


def current_plans(deployed: Deployed, workflows: Mapping[str, Workflow]) -> dict[str, Plan]:
    """The plans of the deployed workflows by name, with the delivery contract and the budgets of the stack.

    Raises:
        TroupeError: A workflow is not in this bundle.
    """
    if missing := sorted(set(deployed.workflows) - set(workflows)):
        raise TroupeError(
            f"no workflow {', '.join(missing)} is in this bundle, which has {', '.join(sorted(workflows))}: deploy "
            "code and settings together"
        )
    plans = topology(*(workflows[name] for name in deployed.workflows))
    return {name: _changed(plan, deployed) for name, plan in plans.items()}


def _changed(plan: Plan, deployed: Deployed) -> Plan:
    nodes = {name: msgspec.structs.replace(node, spec=_spec(node.spec, deployed)) for name, node in plan.nodes.items()}
    budget = msgspec.structs.replace(
        plan.workflow.budget,
        **_given(tokens=deployed.budget_tokens, micros=deployed.budget_micros),
    )
    return msgspec.structs.replace(plan, nodes=nodes, workflow=msgspec.structs.replace(plan.workflow, budget=budget))


def _spec(spec: AgentSpec, deployed: Deployed) -> AgentSpec:
    own_s = deployed.timeout_s if spec.name == deployed.function else None
    return msgspec.structs.replace(
        spec, delivery=_delivery(spec.delivery, deployed.contract), **_given(timeout_s=own_s)
    )


def _delivery(delivery: Delivery, contract: Contract) -> Delivery:
    least = delivery.backoff.minimum_s if contract.backoff_min_s is None else contract.backoff_min_s
    most = delivery.backoff.maximum_s if contract.backoff_max_s is None else contract.backoff_max_s
    if contract.backoff_max_s is None:
        most = max(least, most)
    return msgspec.structs.replace(
        delivery,
        backoff=Backoff(minimum_s=min(least, most), maximum_s=most),
        **_given(attempts=contract.attempts, max_age_s=contract.max_age_s),
    )


def _given(**values: float | None) -> dict[str, float]:
    return {name: value for name, value in values.items() if value is not None}


class Plans(Mapping[str, Plan]):
    """Plans by version: the current ones, and older ones that lie in the bucket, as this deployment can follow them.

    It counts and lists the current ones alone.

    Args:
        current: By the workflow's name.
        read: The bytes of an older one, kept as `<workflow>/<version>`; a `KeyError` where there is none.
        elapsed: Seconds that only go forward.
        function: Whose they are: an agent looks for plans of its own workflows, and may read no others.
    """

    def __init__(
        self,
        current: Mapping[str, Plan],
        read: Callable[[str], bytes],
        elapsed: Callable[[], float],
        function: str = "",
    ) -> None:
        self._workflows = current
        self._looked_in = [name for name, plan in current.items() if function in plan.nodes] or list(current)
        self._read = read
        self._elapsed = elapsed
        self._known = {plan.version: plan for plan in current.values()}
        self._unknown: dict[str, float] = {}

    def __getitem__(self, version: str) -> Plan:
        if version not in self._known and self._is_worth_looking(version):
            found = self._found(version)
            if found is None:
                self._unknown[version] = self._elapsed()
            else:
                self._known[version] = found
        return self._known[version]

    def __iter__(self) -> Iterator[str]:
        return (plan.version for plan in self._workflows.values())

    def __len__(self) -> int:
        return len(self._workflows)

    def _is_worth_looking(self, version: str) -> bool:
        missed = self._unknown.get(version)
        return _VERSION.fullmatch(version) is not None and (missed is None or self._elapsed() - missed > UNKNOWN_S)

    def _found(self, version: str) -> Plan | None:
        for workflow in self._looked_in:
            raw = self._raw(f"{workflow}/{version}")
            if raw is None:
                continue
            plan = revived(raw, self._workflows)
            if not isinstance(plan, Incompatible):
                return plan
            log.warning("the plan %s of %s cannot be followed: %s", version, workflow, "; ".join(plan.reasons))
        return None

    def _raw(self, key: str) -> bytes | None:
        try:
            return self._read(key)
        except KeyError:
            return None
