"""Requests: accepted once, in order, settled once, seen by nobody else."""

from guarantees import guarantee
from harness import START, Clock
from sample_workflows import (
    FANNED_WITH_SIDE,
    SINGLE,
    Answered,
    Asked,
    ListAsked,
)
from target import Deploys

from functions.errors import PermanentError
from functions.events.event import AgentFailed

ORDER = guarantee(
    "order", "Messages of one conversation are worked on one at a time and in order; others do not wait for them."
)
TENANTS = guarantee("tenants", "A tenant sees nothing of another, and does not wait for it.")
ACCEPTED_ONCE = guarantee("accepted-once", "The same request again is no second one.")
SETTLED = guarantee("settled", "A request is settled once: by its answer, or with an error at its deadline.")
SUPERSEDED = guarantee("superseded", "What is left of a settled request is superseded.")


@ORDER
def test_messages_of_one_conversation_run_one_at_a_time_in_order(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    for number in range(3):
        troupe.start(Asked(text=f"{number}"), request=f"r{number}")
    troupe.start(Asked(text="other"), request="r9", conversation="c2")
    assert [troupe.view(f"r{number}").status for number in (0, 1, 2, 9)] == [
        "running",
        "waiting",
        "waiting",
        "running",
    ]
    troupe.run()
    calls = troupe.script.calls
    assert [call for call in calls if call != "work other"] == ["work 0", "work 1", "work 2"]
    assert calls.index("work other") < 2, "another conversation does not wait"


@ORDER
def test_the_next_message_starts_after_one_that_failed_or_is_overdue(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = [PermanentError("no")]
    troupe.start(Asked(text="a"), request="r1")
    troupe.start(Asked(text="b"), request="r2")
    troupe.start(Asked(text="c"), request="r3", deadline_s=120.0)
    troupe.step("work")
    troupe.lose("work")
    troupe.run()
    assert [type(troupe.settlement(each)) for each in ("r1", "r2", "r3")] == [AgentFailed, AgentFailed, Answered]


@ORDER
def test_a_message_does_not_grow_old_while_it_waits_for_its_turn(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    for name in ("r1", "r2"):
        troupe.start(Asked(text=name), request=name, deadline_s=4 * 3600.0)
    clock.advance(500.0)  # of the 600 that its agent's contract allows an event
    troupe.step("work")
    clock.advance(500.0)
    troupe.step("work")
    assert [type(troupe.settlement(each)) for each in ("r1", "r2")] == [Answered, Answered]


@TENANTS
def test_conversations_of_two_tenants_do_not_wait_for_each_other(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"), tenant="acme", request="r1")
    troupe.start(Asked(text="b"), tenant="globex", request="r2")
    assert [troupe.view("r1", "acme").status, troupe.view("r2", "globex").status] == ["running", "running"]


@ACCEPTED_ONCE
def test_the_same_request_again_is_no_second_one(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    envelope = troupe.start(Asked(text="a"))
    assert not troupe.requests.accept(envelope)
    troupe.run()
    assert not troupe.requests.accept(envelope)
    assert troupe.queued() == []
    assert troupe.script.calls == ["work a"]


@TENANTS
def test_a_tenant_sees_no_request_of_another(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"), tenant="acme")
    troupe.start(Asked(text="b"), tenant="globex")
    troupe.run()
    assert troupe.settlement(tenant="acme") == Answered(texts=("a, attempt 1",))
    assert troupe.settlement(tenant="globex") == Answered(texts=("b, attempt 1",))
    assert troupe.requests.view("r1", tenant="default") is None
    assert troupe.requests.deliveries("r1", tenant="default") == []
    assert len(troupe.requests.deliveries("r1", tenant="acme")) == 1


@SETTLED
def test_an_overdue_request_is_settled_with_an_error_even_where_it_still_waits(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"), request="r1", deadline_s=120.0)
    troupe.start(Asked(text="b"), request="r2", deadline_s=30.0)
    clock.advance(31)
    troupe.target.settle_overdue()
    failed = troupe.settlement("r2")
    assert isinstance(failed, AgentFailed)
    assert "ask again" in failed.reason
    assert troupe.view("r1").status == "running"
    troupe.run()
    assert troupe.settlement("r1") == Answered(texts=("a, attempt 1",))
    assert troupe.script.calls == ["work a"]


@SETTLED
def test_an_answer_after_the_deadline_does_not_replace_the_error(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"), deadline_s=5.0)

    def pass_the_deadline() -> None:
        clock.advance(6)
        troupe.target.settle_overdue()

    troupe.script.during["work a"] = pass_the_deadline
    troupe.step("work")
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert failed.reason.startswith("no answer before the deadline")
    assert troupe.queued() == []


@SETTLED
def test_a_settled_request_leaves_no_deadline_behind(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"))
    troupe.run_due()
    assert troupe.queued() == []
    assert clock() == START


@SUPERSEDED
def test_what_is_left_of_a_settled_request_is_superseded(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(FANNED_WITH_SIDE)
    troupe.start(ListAsked(texts=("a", "b")), deadline_s=60.0)
    troupe.step("split")
    troupe.step("handle")
    clock.advance(61)
    troupe.run()
    failed = troupe.settlement()
    assert isinstance(failed, AgentFailed)
    assert failed.reason.startswith("no answer before the deadline")
    assert troupe.script.calls == ["split", "handle a", "note A", "keep A"]
    views = troupe.requests.deliveries("r1", tenant="default")
    late = [view for view in views if view.agent == "handle" and view.error]
    assert [view.error for view in late] == ["superseded: the request was settled"]
    assert troupe.letters() == []
    assert troupe.queued() == []
