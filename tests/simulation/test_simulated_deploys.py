"""Versions that replace each other between any two steps (docs/deploys.md); `deploys.py` says how."""

import pytest
from simulation.deploys import next_version, on_sqlite, simulate_deploys
from simulation.running import Broken

from functions.runtime.topology import topology

SEEDS = 60
BATCHES = 6  # so that the cores share them


@pytest.mark.parametrize("batch", range(BATCHES))
def test_every_promise_is_kept_though_versions_replace_each_other(batch: int) -> None:
    deployed, carried = 0, 0
    for seed in range(batch, SEEDS, BATCHES):
        try:
            run = simulate_deploys(seed)
        except Broken as broken:
            pytest.fail(f"seed {seed} breaks: {broken}", pytrace=False)
        deployed += run.deployed
        carried += run.carried
    assert deployed > SEEDS / BATCHES
    assert carried > SEEDS / BATCHES, "agents of one version worked under the plan of the other"


@pytest.mark.parametrize("seed", range(10))
def test_the_versions_have_other_plans(seed: int) -> None:
    workflow = on_sqlite(seed).workflow
    name = workflow.name
    assert topology(next_version(workflow))[name].version != topology(workflow)[name].version
