"""The ports `Blobs` and `Spending`, and what `Requests` says of what is open."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from guarantees import guarantee
from sample_workflows import SINGLE, Asked
from target import Deploys, Troupe

from functions.ports.requests import Limits, QueueFullError
from functions.ports.spending import Spent

BLOBS = guarantee("blobs", "A blob is read as it was written; the same key again is no error, and an unknown one is.")
BOOKED = guarantee("booked", "What is spent at the same time is all booked, and to its own request alone.")
LIMITS = guarantee(
    "limits", "What is open is counted for all, for a tenant and for a conversation, and past a limit refused."
)
FIRST = guarantee("first", "A request is kept as it was accepted, for its tenant alone.")


@BLOBS
def test_a_blob_is_read_as_it_was_written(deploy: Deploys) -> None:
    blobs = deploy(SINGLE).target.blobs
    data = bytes(range(256)) * 1000
    for _ in range(2):
        blobs.put("key-1_A", data)
    blobs.put("empty", b"")
    assert blobs.get("key-1_A") == data
    assert blobs.get("empty") == b""


@BLOBS
@pytest.mark.parametrize("key", ["nothing", "../key", "", "a/b", "." * 3, "x" * 5000, "\x00"])
def test_a_key_of_nothing_is_no_key(deploy: Deploys, key: str) -> None:
    with pytest.raises(KeyError):
        deploy(SINGLE).target.blobs.get(key)


@BOOKED
def test_what_is_booked_at_the_same_time_is_all_there(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked())
    troupe.start(Asked(), request="r2")
    troupe.start(Asked(), tenant="acme")
    with ThreadPoolExecutor(4) as threads:
        for _ in range(20):
            threads.submit(troupe.target.spending(request="r1", tenant="default").spend, Spent(3, 5))
    assert troupe.target.spending(request="r1", tenant="default").spent() == Spent(60, 100)
    view = troupe.view()
    assert (view.tokens, view.micros) == (60, 100)
    assert troupe.target.spending(request="r2", tenant="default").spent() == Spent()
    assert troupe.target.spending(request="r1", tenant="acme").spent() == Spent()


@BOOKED
def test_of_calls_that_are_reserved_at_the_same_time_no_more_are_made_than_the_budget_allows(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked())
    ledger = troupe.target.spending(request="r1", tenant="default")
    with ThreadPoolExecutor(4) as threads:
        made = list(threads.map(lambda _: ledger.reserve(Spent(30, 5), within=Spent(100, 1_000)), range(8)))
    assert made.count(True) == 3
    assert ledger.spent() == Spent(90, 15)
    assert not ledger.reserve(Spent(10, 986), within=Spent(100, 1_000)), "nor is more money"
    ledger.spend(Spent(-20, -5))
    assert ledger.reserve(Spent(30, 5), within=Spent(100, 1_000))
    assert ledger.spent() == Spent(100, 15)


def depth(troupe: Troupe) -> tuple[int, int, int]:
    found = troupe.requests.depth("c1", tenant="default")
    return found.open, found.of_tenant, found.of_conversation


@LIMITS
def test_what_is_open_is_counted_and_bounded(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(), request="r1")
    troupe.start(Asked(), request="r2", conversation="c2")
    troupe.start(Asked(), request="r3", tenant="acme")
    assert depth(troupe) == (3, 2, 1)
    refused = troupe.opened(Asked(), request="r4")
    for limits in (Limits(open=3), Limits(of_tenant=2), Limits(of_conversation=1)):
        with pytest.raises(QueueFullError):
            troupe.requests.accept(refused, limits=limits)
    assert troupe.requests.view("r4", tenant="default") is None
    assert troupe.requests.accept(refused, limits=Limits(open=4, of_tenant=3, of_conversation=2))
    troupe.run()
    assert depth(troupe) == (0, 0, 0)


@FIRST
def test_a_request_is_kept_as_it_was_accepted(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    envelope = troupe.start(Asked(text="a"), tenant="acme", priority="high", correlation="x-1")
    troupe.run()
    assert troupe.requests.first("r1", tenant="acme") == envelope
    assert troupe.requests.first("r1", tenant="default") is None
    assert troupe.requests.first("r2", tenant="acme") is None
