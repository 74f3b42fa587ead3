"""Seeds in which every process that dies is followed by another version of the workflow, and the same ones again.

The two versions have different plans, under which the same agents make the same answers: so whatever version a request
began under, and whichever went on with it, its run must be that of one version alone.
"""

import tempfile
from pathlib import Path
from typing import Annotated

import msgspec
from simulation.invariants import calm_twin, check
from simulation.running import ProcessDiedError, Run
from simulation.scenarios import Scenario, scenario
from simulation.schedule import Schedule
from simulation.seeds import MEMORY
from simulation.worlds import LocalWorld, Message, World

from functions.events.envelope import decode
from functions.events.event import All, Event, Where
from functions.runtime.agent import AgentSpec, agent
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan, Workflow

DEPLOYS = {"die": 0.08}  # at every message that is handed out
NOBODY = Where(tenant="nobody")


def next_version(workflow: Workflow) -> Workflow:
    """The workflow with another plan: one more side branch, for a tenant that there is not."""

    @agent()
    def onlooker(event: Annotated[workflow.entry, NOBODY]) -> None:
        del event

    return msgspec.structs.replace(workflow, agents=(*workflow.agents, onlooker))


class DeployedRun(Run):
    """A run that goes from version to version.

    Attributes:
        deployed: How often it did.
        carried: How many agents were called under the plan of another version than theirs.
    """

    def _world(self, folder: Path) -> World:
        after = topology(next_version(self.scenario.workflow))[self.plan.workflow.name]
        self.deployed = 0
        self.carried = 0
        self._versions = [self._observed(after), self.plan]
        world = super()._world(folder)
        assert isinstance(world, LocalWorld)
        restart = world.restart

        def deploy() -> None:
            self.plan = self._next_plan()
            world.plans = {self.plan.workflow.name: self.plan}
            restart()

        world.restart = deploy  # type: ignore[method-assign]
        return world

    def _next_plan(self) -> Plan:
        self.deployed += 1
        plan, other = self._versions
        self._versions = [other, plan]
        return plan

    def _see_call(self, spec: AgentSpec, event: Event | All[Event], *, is_side: bool) -> None:
        message = self._workers[-1].message
        self.carried += bool(message and decode(message.raw).planversion != self.plan.version)
        super()._see_call(spec, event, is_side=is_side)

    def _hand(self, message: Message) -> None:
        if self.schedule.fault(f"{message.label} deployed before", DEPLOYS):
            raise ProcessDiedError
        super()._hand(message)


def on_sqlite(seed: int) -> Scenario:
    """What a seed runs, on a target that has processes."""
    chosen = scenario(seed)
    return msgspec.structs.replace(chosen, target="ahead") if chosen.target == "memory" else chosen


def simulate_deploys(seed: int) -> DeployedRun:
    """Run one seed.

    Raises:
        Broken: A promise was not kept.
    """
    chosen = on_sqlite(seed)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        run = DeployedRun(chosen, Schedule(seed, rate=chosen.rate), Path(folder))
        try:
            run.run()
            check(run, calm_twin(run))
        finally:
            run.world.close()
    return run
