"""What a request spent, and what its agents have written, in the store."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from harness import Harness
from sample_workflows import SINGLE, Asked

from functions.adapters.local.growing import PAUSE_S, LocalGrowing
from functions.adapters.local.retention import sweep
from functions.adapters.local.spending import LocalSpending
from functions.ports.requests import TokensView
from functions.ports.spending import Spent

Opens = Callable[..., Harness]


class Stopwatch:
    """Seconds, which only tests move."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


@pytest.fixture
def troupe(process: Opens) -> Harness:
    """With the request `r1` of the default tenant."""
    opened = process(SINGLE)
    opened.start(Asked(text="a"))
    return opened


def growing(troupe: Harness, watch: Stopwatch, attempt: int = 1) -> LocalGrowing:
    return LocalGrowing(troupe.bus, tenant="default", request="r1", agent="writer", attempt=attempt, elapsed=watch)


def written(troupe: Harness, after: int = 0) -> list[TokensView]:
    changes = troupe.requests.changes("r1", tenant="default", after=after)
    return [change.view for change in changes if isinstance(change.view, TokensView)]


def test_what_is_booked_adds_up_and_is_seen_in_the_request(troupe: Harness) -> None:
    ledger = LocalSpending(troupe.store, tenant="default", request="r1")
    assert ledger.spent() == Spent()
    ledger.spend(Spent(100, 7))
    ledger.spend(Spent(20, 1))
    assert ledger.spent() == Spent(120, 8)
    assert (troupe.view().tokens, troupe.view().micros) == (120, 8)


def test_calls_that_end_at_once_are_all_booked(troupe: Harness) -> None:
    ledger = LocalSpending(troupe.store, tenant="default", request="r1")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: ledger.spend(Spent(1, 2)), range(100)))
    assert ledger.spent() == Spent(100, 200)


def test_nothing_is_reserved_for_a_request_that_is_not_there(troupe: Harness) -> None:
    ledger = LocalSpending(troupe.store, tenant="default", request="erased")
    assert not ledger.reserve(Spent(1, 1), within=Spent(10, 10))
    assert ledger.spent() == Spent()


def test_another_tenant_has_another_ledger(troupe: Harness) -> None:
    LocalSpending(troupe.store, tenant="other", request="r1").spend(Spent(5, 5))
    assert LocalSpending(troupe.store, tenant="default", request="r1").spent() == Spent()
    assert LocalSpending(troupe.store, tenant="other", request="r1").spent() == Spent()


def test_the_first_piece_is_seen_at_once_and_the_next_ones_together(troupe: Harness) -> None:
    watch = Stopwatch()
    page = growing(troupe, watch)
    page.grow("It")
    assert [view.text for view in written(troupe)] == ["It"]
    page.grow(" is")
    page.grow(" so")
    assert [view.text for view in written(troupe)] == ["It"]
    watch.seconds += PAUSE_S
    page.grow(".")
    assert [(view.position, view.text) for view in written(troupe)] == [(0, "It"), (2, " is so.")]


def test_however_fast_a_text_comes_it_costs_few_rows_and_is_whole_at_its_end(troupe: Harness) -> None:
    watch = Stopwatch()
    page = growing(troupe, watch)
    for number in range(1_000):
        page.grow(f"{number} ")
        watch.seconds += 0.002
    page.end()
    views = written(troupe)
    assert "".join(view.text for view in views) == "".join(f"{number} " for number in range(1_000))
    assert len(views) <= 2.0 / PAUSE_S + 2
    for one, after in pairwise(views):
        assert after.position == one.position + len(one.text)


def test_the_end_of_nothing_writes_nothing(troupe: Harness) -> None:
    page = growing(troupe, Stopwatch())
    page.grow("")
    page.end()
    page.end()
    assert written(troupe) == []


def test_a_later_attempt_begins_anew(troupe: Harness) -> None:
    growing(troupe, Stopwatch(), attempt=1).grow("It w")
    growing(troupe, Stopwatch(), attempt=2).grow("It is")
    assert [(view.agent, view.attempt, view.position) for view in written(troupe)] == [
        ("writer", 1, 0),
        ("writer", 2, 0),
    ]


def test_whoever_watches_is_woken_once_a_piece_can_be_read(troupe: Harness) -> None:
    seen: list[list[str]] = []
    with troupe.bus.watchers.watching(
        "r1", tenant="default", wake=lambda: seen.append([view.text for view in written(troupe)])
    ):
        growing(troupe, Stopwatch()).grow("It")
    assert seen == [["It"]]


def test_another_tenant_sees_nothing_of_it(troupe: Harness) -> None:
    growing(troupe, Stopwatch()).grow("It")
    assert troupe.requests.changes("r1", tenant="other") == []


def test_what_was_written_goes_with_its_request(troupe: Harness) -> None:
    growing(troupe, Stopwatch()).grow("It")
    troupe.run()
    troupe.clock.advance(31 * 86_400)
    sweep(troupe.store, troupe.blobs, troupe.clock())
    assert troupe.store.read("SELECT count(*) FROM written") == [(0,)]
