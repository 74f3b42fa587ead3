"""What an event may say of others, and what comes of it: nothing."""

import msgspec
import pytest
from guarantees import guarantee
from sample_workflows import FANNED, SINGLE, Answered, Asked, ListAsked
from target import Deploys

from functions.errors import PermanentError
from functions.events.envelope import CLAIM_CHECK_BYTES, Envelope, decode, digest, encode, pack, unpack
from functions.events.event import AgentFailed
from functions.runtime.arrival import claim_checked, delivery_key

FOREIGN = guarantee(
    "foreign", "An event that names the scope, the data or the id of another request does not touch it."
)
TOTALS = guarantee(
    "totals", "Parts that contradict each other on how many there are count as missing, and hang nothing."
)
NOT_HIDDEN = guarantee("not-hidden", "No two events that share an id hide each other, nor each other's dead letters.")


def replaced(raw: bytes, **changes: object) -> Envelope:
    return msgspec.structs.replace(decode(raw), **changes)


@FOREIGN
@pytest.mark.parametrize("generation", [0, 1])
def test_a_part_that_names_the_scope_of_another_tenant_is_no_part_of_it(deploy: Deploys, generation: int) -> None:
    troupe = deploy(FANNED)
    for tenant, letter in (("acme", "a"), ("globex", "b")):
        troupe.start(ListAsked(texts=(f"{letter}1", f"{letter}2")), tenant=tenant)
        troupe.step("split")
    for theirs in [each for each in troupe.queued() if each.tenant == "acme" and each.name == "Piece"]:
        lie = msgspec.structs.replace(
            theirs, id=f"lie {theirs.id}", tenant="globex", type="Handled.v1", generation=generation
        )
        troupe.target.publish(lie)
        troupe.step("collect")
    troupe.run()
    assert troupe.settlement(tenant="acme") == Answered(texts=("A1", "A2"))
    assert len(troupe.requests.deliveries("r1", tenant="acme")) == 4
    assert {letter.tenant for letter in troupe.target.letters()} <= {"globex"}


@FOREIGN
def test_the_data_of_another_tenant_cannot_be_claimed(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    theirs = troupe.opened(Asked(text="secret " * CLAIM_CHECK_BYTES), tenant="acme")
    theirs = claim_checked(theirs, troupe.target.blobs)
    ours = msgspec.structs.replace(troupe.opened(Asked(), tenant="globex"), dataref=theirs.dataref)
    for each in (theirs, ours):
        troupe.requests.accept(each)
    troupe.run()
    assert isinstance(troupe.settlement(tenant="acme"), Answered)
    assert troupe.settlement(tenant="globex") == AgentFailed(
        agent="work", reason="dataref leads to the data of another conversation"
    )


@FOREIGN
def test_an_event_cannot_name_another_workflow_to_pass_its_stop_switch(deploy: Deploys) -> None:
    troupe = deploy(SINGLE, FANNED)
    troupe.target.stop("workflow", "single", reason="leaking")
    troupe.start(Asked(text="a"))
    handed = troupe.take("work")
    outcome = troupe.deliver(handed, replaced(handed.raw, workflow="fanned"))
    assert "its plan is that of 'single'" in outcome.error
    assert troupe.script.calls == []


@TOTALS
@pytest.mark.parametrize("told", [1, 2, 4, 10_000])
def test_a_part_that_lies_about_the_total_counts_as_missing(deploy: Deploys, told: int) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("a", "b", "c")))
    troupe.step("split")
    for _ in range(3):
        troupe.step("handle")
    *honest, lying = (troupe.take("collect") for _ in range(3))
    for each in honest:
        troupe.deliver(each)
    *outer, scope = unpack(decode(lying.raw).part)
    lineage = pack((*outer, msgspec.structs.replace(scope, index=0 if told < 3 else told - 1, total=told)))
    troupe.deliver(lying, replaced(lying.raw, part=lineage))
    troupe.run()
    answer = troupe.settlement()
    assert isinstance(answer, Answered)
    assert len(answer.texts) == 2
    assert answer.missing == ("no result in time",)


@TOTALS
def test_a_part_of_no_parts_is_none(deploy: Deploys) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("a",)))
    troupe.step("split")
    troupe.step("handle")
    handed = troupe.take("collect")
    *outer, scope = unpack(decode(handed.raw).part)
    lineage = pack((*outer, msgspec.structs.replace(scope, index=0, total=0)))
    assert "is one" in troupe.deliver(handed, replaced(handed.raw, part=lineage)).error
    assert "collect" not in troupe.script.calls
    troupe.run()
    assert troupe.settlement() == Answered(missing=("no result in time",))


@NOT_HIDDEN
def test_two_tenants_events_with_one_id_are_both_delivered_and_both_kept_when_they_fail(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = [PermanentError("locked")] * 2
    for tenant in ("acme", "globex"):
        troupe.target.publish(msgspec.structs.replace(troupe.opened(Asked(text="a"), tenant=tenant), id="same"))
    troupe.run()
    assert troupe.script.calls == ["work a"] * 2
    assert {letter.tenant for letter in troupe.target.letters()} == {"acme", "globex"}


@NOT_HIDDEN
def test_an_event_that_was_parked_does_not_hide_the_dead_letter_of_the_honest_one(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = [PermanentError("locked", reason="locked")]
    first = troupe.start(Asked(text="a"))
    troupe.target.send("work", encode(msgspec.structs.replace(first, type="Answered.v1")))
    troupe.run()
    assert sorted(reason for _, reason in troupe.letters()) == ["locked", "malformed envelope"]
    honest = {letter.key: letter for letter in troupe.target.letters()}[delivery_key(first, "work")]
    assert decode(honest.event) == first


@NOT_HIDDEN
def test_an_event_with_the_id_of_a_deadline_hides_no_deadline(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    theirs = troupe.opened(Asked(text="a"), tenant="acme")
    ours = troupe.opened(Asked(text="b"), tenant="globex")
    troupe.target.publish(msgspec.structs.replace(ours, id=digest(theirs.id, "deadline")))
    assert troupe.requests.accept(theirs)
    for _ in range(2):
        troupe.lose("work")
    troupe.run()
    assert isinstance(troupe.settlement(tenant="acme"), AgentFailed)


@FOREIGN
@pytest.mark.parametrize("generation", [0, 1, 999_999])
def test_a_part_under_a_request_of_its_own_keeps_no_other_request_waiting(deploy: Deploys, generation: int) -> None:
    troupe = deploy(FANNED)
    troupe.start(ListAsked(texts=("a",)))
    troupe.step("split")
    part = troupe.take("handle")
    lie = replaced(part.raw, request="r2", conversation="c2", type="PartEnded.v1", generation=generation)
    troupe.target.send("collect", encode(lie))
    troupe.target.deliver(part, part.raw)
    troupe.run()
    assert troupe.settlement() == Answered(texts=("A",))
    assert ("collect", "malformed envelope") in troupe.letters()
