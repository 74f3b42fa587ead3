"""Claim checks."""

import msgspec
import pytest
from guarantees import guarantee
from harness import Clock
from sample_workflows import (
    FANNED,
    SINGLE,
    Answered,
    Asked,
    ListAsked,
)
from target import Deploys, Troupe

from functions.errors import PermanentError
from functions.events.envelope import CLAIM_CHECK_BYTES, encode
from functions.events.event import AgentFailed

DAY_S = 86_400
CLAIM = guarantee(
    "claim", "Data too large to travel goes by claim check, arrives whole, and is a dead letter where it is gone."
)
SWEPT = guarantee("swept", "What was settled 30 days ago is gone, with its large data; what is open stays.")


@CLAIM
def test_large_data_travels_as_a_claim_check_and_arrives_whole(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    large = "x" * (CLAIM_CHECK_BYTES + 1)
    troupe.start(ListAsked(texts=(large, "b")))
    for agent in ("split", "handle", "handle", "collect", "collect"):
        assert all(len(encode(each)) < CLAIM_CHECK_BYTES for each in troupe.queued() if each.source != "entry")
        troupe.step(agent)
    assert troupe.settlement() == Answered(texts=(large.upper(), "B"))
    settlement = troupe.view().settlement
    assert settlement is not None
    assert settlement.dataref


@CLAIM
def test_data_that_is_gone_from_the_blob_store_ends_as_a_dead_letter(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    envelope = troupe.opened(Asked(text="a"))
    troupe.requests.accept(msgspec.structs.replace(envelope, data=msgspec.Raw(b"null"), dataref="gone"))
    troupe.run()
    assert troupe.letters() == [("work", "attempts exhausted")]
    assert troupe.settlement() == AgentFailed(agent="work", reason="KeyError: 'gone'")


@SWEPT
def test_everything_about_a_settled_request_is_gone_after_thirty_days(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(FANNED)
    troupe.script.failures["handle b"] = [PermanentError("marked: b is locked")]
    troupe.start(ListAsked(texts=("marked " * CLAIM_CHECK_BYTES, "b")), request="marked")
    troupe.run()
    key = settled_key(troupe)
    clock.advance(30 * DAY_S - 60)
    troupe.target.sweep()
    assert troupe.target.blobs.get(key)
    assert troupe.view("marked").status == "settled"
    clock.advance(DAY_S + 120)  # large data goes a day after the rows that name it
    troupe.target.sweep()
    with pytest.raises(KeyError):
        troupe.target.blobs.get(key)
    assert troupe.requests.view("marked", tenant="default") is None
    assert troupe.requests.deliveries("marked", tenant="default") == []
    assert troupe.letters() == []


@SWEPT
def test_a_request_that_is_not_settled_stays(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"))
    clock.advance(40 * DAY_S)
    troupe.target.sweep()
    assert troupe.view().status == "running"


def settled_key(troupe: Troupe) -> str:
    """Where the data of the answer is."""
    settlement = troupe.view("marked").settlement
    assert settlement is not None
    return settlement.dataref
