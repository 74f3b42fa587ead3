"""What happened to a request, for a client that was cut off and comes again."""

from collections.abc import Sequence

from guarantees import guarantee
from harness import Clock
from sample_workflows import FANNED, ListAsked
from target import Deploys, Troupe

from functions.ports.requests import Change, DeliveryView

CHANGES = guarantee(
    "changes", "What happened to a request is told from any change on: each delivery once, as it stands now."
)


def changes(troupe: Troupe, after: int = 0, tenant: str = "default") -> Sequence[Change]:
    return troupe.requests.changes("r1", tenant=tenant, after=after)


def views(found: Sequence[Change]) -> list[DeliveryView]:
    return [change.view for change in found if isinstance(change.view, DeliveryView)]


@CHANGES
def test_what_comes_after_a_change_is_what_happened_since(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("b", "c")))
    troupe.step("split")
    clock.advance(2)
    first = changes(troupe)
    assert [(view.agent, view.finished is None) for view in views(first)] == [("split", False)]
    troupe.run()
    rest = changes(troupe, first[-1].number)
    assert sorted(view.agent for view in views(rest)) == ["collect", "handle", "handle"]
    assert changes(troupe, rest[-1].number) == []


@CHANGES
def test_each_delivery_is_told_once_as_it_stands_now(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.script.failures["handle b"] = [OSError("busy")]
    troupe.start(ListAsked(texts=("b", "c")))
    troupe.run()
    found = changes(troupe)
    numbers = [change.number for change in found]
    assert numbers == sorted(set(numbers))
    assert numbers[0] > 0
    assert sorted(view.key for view in views(found)) == sorted(
        view.key for agent in ("split", "handle", "collect") for view in troupe.deliveries(agent)
    )
    assert {view.attempts for view in views(found) if view.agent == "handle"} == {1, 2}
    assert all(view.finished for view in views(found))


@CHANGES
def test_nobody_is_told_of_the_request_of_another_tenant(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("b",)))
    troupe.run()
    assert changes(troupe, tenant="acme") == []
