"""What cannot be read, and what is not known here yet."""

import msgspec
import pytest
from guarantees import guarantee
from harness import START
from sample_workflows import (
    SINGLE,
    Answered,
    Asked,
)
from target import Deploys

from functions.events.envelope import Frame, encode, pack, root_group
from functions.events.event import AgentFailed

UNREADABLE = guarantee("unreadable", "An event that cannot be read is a dead letter at once, with its bytes.")
WRONG_PLACE = guarantee(
    "wrong-place", "An event in a place where nobody expects it is a dead letter at once, and reaches no agent."
)
MALFORMED_DATA = guarantee("malformed-data", "Data that breaks its contract is given up at once.")
NEWER = guarantee("newer", "Data of a newer producer is read without the fields that are not known.")
UNKNOWN = guarantee(
    "unknown", "An event of a plan or version that is not known is retried, then its request ends with `ask again`."
)

ROOT = (Frame(root_group("default", "c1", "r1"), 0, 1, START),)


@UNREADABLE
def test_bytes_that_are_no_envelope_are_parked(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    outcome = troupe.deliver(entry, b'{"specversion": "1.0"}')
    assert outcome.action == "acknowledge"
    assert outcome.error.startswith("no CloudEvents envelope")
    assert troupe.letters() == [("work", "malformed envelope")]
    assert [letter.event for letter in troupe.target.letters()] == [b'{"specversion": "1.0"}']
    assert troupe.queued() == []


@UNREADABLE
def test_a_large_event_that_is_no_envelope_is_parked_with_few_words(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    envelope = troupe.start(Asked(text="a"))
    raw = encode(msgspec.structs.replace(envelope, type="\x00" * 150_000))
    assert troupe.deliver(troupe.take("work"), raw).action == "acknowledge"
    (letter,) = troupe.target.letters()
    assert letter.event == raw
    assert len(letter.error) == 1000


@WRONG_PLACE
@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"type": "Answered.v1"}, "which consumes"),
        ({"type": "AgentFailed.v1"}, "which consumes"),
        ({"part": pack((*ROOT, Frame("g", 0, 1, START)))}, "open scopes"),
        ({"part": pack((Frame("g", 0, 1, START),))}, "of another request"),
        ({"conversation": "c2"}, "of another request"),
        ({"workflow": "fanned"}, "its plan is that of 'single'"),
    ],
)
def test_an_event_in_the_wrong_place_is_parked_and_reaches_no_agent(
    deploy: Deploys, change: dict[str, str], said: str
) -> None:
    troupe = deploy(SINGLE)
    envelope = troupe.start(Asked(text="a"))
    outcome = troupe.deliver(troupe.take("work"), encode(msgspec.structs.replace(envelope, **change)))
    assert said in outcome.error
    assert troupe.letters() == [("work", "malformed envelope")]
    assert troupe.script.calls == []


@MALFORMED_DATA
@pytest.mark.parametrize("data", [b'{"text":5}', b"null", b"[]"])
def test_data_that_breaks_its_contract_is_given_up_at_once(deploy: Deploys, data: bytes) -> None:
    troupe = deploy(SINGLE)
    envelope = troupe.opened(Asked(text="a"))
    troupe.requests.accept(msgspec.structs.replace(envelope, data=msgspec.Raw(data)))
    troupe.run()
    assert troupe.letters() == [("work", "malformed data")]
    assert troupe.script.calls == []
    assert isinstance(troupe.settlement(), AgentFailed)


@NEWER
def test_data_of_a_newer_producer_is_read_without_the_fields_that_are_not_known_here(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    envelope = troupe.opened(Asked(text="a"))
    troupe.requests.accept(msgspec.structs.replace(envelope, data=msgspec.Raw(b'{"text":"b","colour":1}')))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("b, attempt 1",))


@UNKNOWN
@pytest.mark.parametrize("change", [{"planversion": "0123456789ab"}, {"type": "Asked.v2"}])
def test_an_event_of_an_unknown_plan_or_version_is_retried_then_settled_with_ask_again(
    deploy: Deploys, change: dict[str, str]
) -> None:
    troupe = deploy(SINGLE)
    envelope = troupe.opened(Asked(text="a"))
    troupe.requests.accept(msgspec.structs.replace(envelope, target="work", **change))
    assert troupe.step("work").action == "retry"
    troupe.run()
    assert troupe.attempts("work") == [5]
    assert troupe.letters() == [("work", "unknown plan")]
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert failed.reason.endswith("ask again")
    assert troupe.script.calls == []


@UNKNOWN
def test_a_redelivered_event_of_an_unknown_plan_is_acknowledged_once_it_was_settled(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    envelope = troupe.opened(Asked(text="a"))
    troupe.requests.accept(msgspec.structs.replace(envelope, target="work", planversion="0123456789ab"))
    entry = troupe.take("work")
    raw = entry.raw
    troupe.deliver(entry)
    troupe.run()
    assert troupe.deliver(entry, raw).action == "acknowledge"
    assert troupe.letters() == [("work", "unknown plan")]


@UNKNOWN
def test_a_request_that_waited_while_its_plan_went_away_is_told_to_ask_again(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"))
    gone = troupe.opened(Asked(text="b"), request="r2", planversion="gone")
    troupe.requests.accept(msgspec.structs.replace(gone, type="Wondered.v1"))
    troupe.run()
    failed = troupe.settlement("r2")
    assert isinstance(failed, AgentFailed)
    assert "ask again" in failed.reason
