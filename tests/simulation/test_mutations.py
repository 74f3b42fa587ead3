"""The simulation finds what it is there to find: without any one safeguard, a promise breaks within a few seeds."""

import msgspec
import pytest
from simulation.mutations import MUTATIONS, Mutation
from simulation.scenarios import Scenario
from simulation.seeds import Change, simulate

MOST_SEEDS = 400


def on(mutation: Mutation) -> Change:
    """Scenarios on the targets that have this safeguard."""

    def change(scenario: Scenario) -> Scenario:
        if scenario.target in mutation.targets:
            return scenario
        target = mutation.targets[len(scenario.askings) % len(mutation.targets)]
        return msgspec.structs.replace(scenario, target=target)

    return change


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_this_safeguard_a_promise_breaks(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation.remove(monkeypatch)
    assert any(simulate(seed, change=on(mutation)).invariant for seed in range(MOST_SEEDS))


@pytest.mark.parametrize("targets", sorted({mutation.targets for mutation in MUTATIONS}))
def test_with_all_of_them_every_promise_is_kept(targets: tuple[str, ...]) -> None:
    control = Mutation("nothing", targets, lambda _: None)
    assert {simulate(seed, change=on(control)).invariant for seed in range(15)} == {""}
