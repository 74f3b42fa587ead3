"""Attempts, and what comes after the last of them."""

import pytest
from faults import ShutdownError, down
from guarantees import guarantee
from harness import Clock
from sample_workflows import (
    LOG,
    SINGLE,
    Answered,
    Asked,
)
from target import Deploys

from functions.errors import PermanentError
from functions.events.envelope import decode
from functions.events.event import AgentFailed
from functions.ports.conversations import Append
from functions.runtime.agent import Backoff, Delivery, agent
from functions.runtime.workflow import Workflow

ANSWERED = guarantee("answered", "A request is answered by its agents.")
ATTEMPTS = guarantee(
    "attempts",
    "Every attempt is counted, one that died without a word too, and a route is given as many as it allows.",
)
LAST_ATTEMPT = guarantee(
    "last-attempt",
    "The last attempt leaves a dead letter, and its caller is told by an `AgentFailed`.",
)
BACKOFF = guarantee(
    "backoff",
    "A retry waits: twice as long at each attempt, jittered, between the minimum and the maximum of its route.",
)
MAX_AGE = guarantee("max-age", "An event older than its route allows is given up.")
DEADLINE = guarantee("deadline", "Nobody works on a request after its deadline, nor waits for a retry past it.")
PERMANENT = guarantee("permanent", "A permanent error is a dead letter at once, with its reason and the event.")
INDEX = guarantee(
    "index",
    "Whoever looks at a request sees each delivery: its attempts, its last error, whether it was given up.",
)


@agent(delivery=Delivery(attempts=9, backoff=Backoff(minimum_s=1.0, maximum_s=10.0)))
def wait(event: Asked, *, log: Append) -> Answered:
    log.append("assistant", f"wait {event.text}")
    return Answered(texts=(event.text,))


PATIENT = Workflow(name="patient", agents=(wait,), entry=Asked, answer=Answered, resources=LOG, deadline_s=600.0)


@ANSWERED
def test_a_request_is_answered_by_its_agent(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 1",))
    assert troupe.queued() == []


@ATTEMPTS
def test_a_failed_attempt_is_retried_and_counted(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = down(2)
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == Answered(texts=("a, attempt 3",))
    assert troupe.attempts("work") == [3]
    assert troupe.letters() == []


@ATTEMPTS
def test_attempts_that_died_without_a_word_are_counted(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = [ShutdownError()] * 9
    troupe.start(Asked(text="a"))
    for _ in range(3):
        entry = troupe.take("work")
        with pytest.raises(ShutdownError):
            troupe.deliver(entry)
        clock.advance(16)  # its 10 seconds and the margin of the lease
        troupe.target.put_back(entry)
    troupe.run_due()
    assert troupe.letters() == [("work", "attempts exhausted")]
    assert len(troupe.script.calls) == 3


@LAST_ATTEMPT
def test_the_last_attempt_ends_as_a_dead_letter_and_an_error_for_the_caller(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = down(9)
    troupe.start(Asked(text="a"))
    troupe.run()
    assert troupe.settlement() == AgentFailed(agent="work", reason="DownError: the shelf is down")
    assert troupe.letters() == [("work", "attempts exhausted")]
    assert troupe.attempts("work") == [3]


@PERMANENT
def test_a_whole_document_in_an_error_does_not_keep_it_from_being_a_dead_letter(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = [PermanentError("cannot be parsed: " + "x" * 500_000)]
    troupe.start(Asked(text="a"))
    troupe.run()
    (letter,) = troupe.target.letters()
    assert letter.error.startswith("cannot be parsed: xxx")
    assert "in work\n" in letter.trace
    assert len(letter.trace) <= 8_000
    assert isinstance(troupe.settlement(), AgentFailed)


@INDEX
def test_whoever_looks_can_tell_a_delivery_that_was_retried_from_one_that_was_given_up(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    for request, failures in (("r1", 2), ("r2", 9)):
        troupe.script.failures["work a"] = down(failures)
        troupe.start(Asked(text="a"), request=request)
        troupe.run()
    retried, given_up_on = (troupe.requests.deliveries(each, tenant="default")[0] for each in ("r1", "r2"))
    assert (retried.attempts, retried.error, retried.failed) == (3, "DownError: the shelf is down", False)
    assert (given_up_on.attempts, given_up_on.error, given_up_on.failed) == (3, "DownError: the shelf is down", True)


@BACKOFF
def test_a_retry_waits_for_its_backoff(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = down(2)
    troupe.start(Asked(text="a"))
    waits = []
    for _ in range(2):
        begun = clock()
        outcome = troupe.step("work")
        assert outcome.action == "retry"
        assert outcome.due is not None
        assert outcome.error == "DownError: the shelf is down"
        waits.append((outcome.due - begun).total_seconds())
        troupe.run_due()
        assert troupe.attempts("work") == [len(waits)], "delivered before it was due"
        clock.move_to(outcome.due.timestamp())
    assert waits[0] == pytest.approx(1.0)
    assert 1.0 <= waits[1] <= 2.0


@BACKOFF
def test_the_backoff_doubles_within_its_range_and_is_jittered(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(PATIENT)
    waits: dict[int, list[float]] = {}
    for name in "abcdefgh":
        troupe.script.failures[f"wait {name}"] = down(5)
        troupe.start(Asked(text=name), request=name, conversation=name, deadline_s=600.0)
        for attempt in range(1, 6):
            begun = clock()
            outcome = troupe.step("wait")
            assert outcome.due is not None
            waits.setdefault(attempt, []).append((outcome.due - begun).total_seconds())
            clock.move_to(outcome.due.timestamp())
        troupe.run()
    for attempt, full in ((1, 1.0), (2, 2.0), (3, 4.0), (4, 8.0), (5, 10.0)):
        assert all(max(1.0, full / 2) <= each <= full for each in waits[attempt]), (attempt, waits[attempt])
        assert attempt == 1 or len(set(waits[attempt])) > 1, "all at the same moment"


@BACKOFF
def test_a_duplicate_waits_for_the_backoff_of_the_attempt_before(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = down(1)
    troupe.start(Asked(text="a"))
    entry = troupe.take("work")
    raw = entry.raw
    retry = troupe.deliver(entry)
    assert retry.action == "retry"
    duplicate = troupe.deliver(entry, raw)
    assert (duplicate.action, duplicate.due) == ("defer", retry.due)
    assert troupe.attempts("work") == [1]


@MAX_AGE
def test_an_event_older_than_its_route_allows_is_given_up(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.start(Asked(text="a"), deadline_s=3600.0)
    clock.advance(601)
    troupe.run_due()
    assert troupe.letters() == [("work", "expired")]
    assert troupe.script.calls == []
    assert troupe.settlement() == AgentFailed(agent="work", reason="601 s old, and its route allows 600 s")


@DEADLINE
def test_a_retry_past_the_deadline_is_not_waited_for(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = down(9)
    troupe.start(Asked(text="a"), deadline_s=0.5)
    troupe.run_due()
    assert troupe.letters() == [("work", "deadline")]
    assert troupe.settlement() == AgentFailed(agent="work", reason="DownError: the shelf is down")


@PERMANENT
def test_a_permanent_error_is_a_dead_letter_at_once(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    troupe.script.failures["work a"] = [PermanentError("this page is locked", reason="locked")]
    first = troupe.start(Asked(text="a"), tenant="acme")
    clock.advance(2)
    troupe.run_due()
    (letter,) = troupe.target.letters()
    said = (letter.agent, letter.reason, letter.error, letter.attempt, letter.age_s)
    assert said == ("work", "locked", "this page is locked", 1, 2.0)
    assert (letter.tenant, letter.conversation, letter.request) == ("acme", "c1", "r1")
    assert decode(letter.event) == first
    assert "this page is locked" in letter.trace
    assert troupe.settlement(tenant="acme") == AgentFailed(agent="work", reason="this page is locked")
