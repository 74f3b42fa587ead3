"""Who worked for a workflow: the agents of today, and those of every plan that was ever deployed."""

import msgspec
from harness import Clock
from memory_target import MemoryBlobs
from sample_workflows import FANNED_WITH_SIDE, SINGLE

from functions.entry_points.aws.plans import crews
from functions.runtime.plans import Crew, crew_of, frozen
from functions.runtime.topology import topology


def test_agents_of_older_plans_and_of_workflows_that_are_gone_are_found_in_the_bucket() -> None:
    plans, blobs = topology(FANNED_WITH_SIDE, SINGLE), MemoryBlobs(Clock(), lambda _step: None)
    fanned, single = plans[FANNED_WITH_SIDE.name], plans[SINGLE.name]
    for plan in (fanned, single):
        blobs.put(f"{plan.workflow.name}/{plan.version}", frozen(plan))
    today = msgspec.structs.replace(fanned, version="today", nodes={"split": fanned.nodes["split"]})
    blobs.put(f"{fanned.workflow.name}/today", frozen(today))
    found = crews({fanned.workflow.name: today}, blobs)
    assert found == {fanned.workflow.name: crew_of(fanned), "single": Crew(frozenset({"work"}))}
    assert found[fanned.workflow.name].joining == {"collect"}
