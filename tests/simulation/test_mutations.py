"""The simulation finds what it is there to find: without any one safeguard, a promise breaks within a few seeds."""

from collections.abc import Mapping

import pytest
from simulation.mutations import MUTATIONS, Mutation
from simulation.seeds import simulate

MOST_SEEDS = 400


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_without_this_safeguard_a_promise_breaks(mutation: Mutation, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation.remove(monkeypatch)
    assert any(simulate(seed, change=mutation.scenario).invariant for seed in range(MOST_SEEDS))


@pytest.mark.parametrize(
    ("targets", "where"),
    {(each.targets, *each.where.items()): (each.targets, each.where) for each in MUTATIONS}.values(),
)
def test_with_all_of_them_every_promise_is_kept(targets: tuple[str, ...], where: Mapping[str, object]) -> None:
    control = Mutation("nothing", targets, lambda _: None, where)
    assert {simulate(seed, change=control.scenario).invariant for seed in range(15)} == {""}
