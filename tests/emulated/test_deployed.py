"""The project's own program on an emulator of AWS, with permissions enforced, asked what a user would ask.

No test makes a resource: what is there, the program registered.
"""

import faulthandler
import json
from typing import Final

import msgspec
import pytest
from emulated import exercises
from emulated.aws_calls import Call
from emulated.exercises import actions_of, cited, physical, poll
from emulated.gate import Grant, Seen
from emulated.granted import GIVEN, UNNEEDED, Unneeded
from emulated.playing import DOCUMENTS, KEY, Played
from emulated.program import deploy_here
from websockets.exceptions import InvalidStatus

pytestmark = [pytest.mark.slow, pytest.mark.emulated, pytest.mark.filterwarnings("ignore::ResourceWarning")]

STATEMENTS: Final = tuple((function, sid) for function, sids in GIVEN.items() for sid in sids.split())


class Exercised(msgspec.Struct, frozen=True):
    """A stack that was asked everything.

    Attributes:
        calls: Of every function; of the refused ones, those of that time.
        failed: What did not go as it should, by exercise.
    """

    calls: list[Seen]
    failed: dict[str, str]


@pytest.fixture(scope="session")
def exercised(stack: Played) -> Exercised:
    """Once for all tests; it takes minutes, and each wait in it has an end of its own."""
    faulthandler.cancel_dump_traceback_later()
    before = len(stack.gate.seen())
    stack.deployment.links.broken()  # what Lambda does for each function, by its role
    failed = exercises.everything(stack)
    allowed = [each for each in stack.gate.seen() if each.grant is not None]
    return Exercised([*allowed, *stack.gate.refused(before)], failed)


def test_a_question_over_http_is_answered_from_the_documents_that_were_sent(stack: Played) -> None:
    stack.send(DOCUMENTS)
    settled = stack.ask("What causes tides?", workflow="research")
    assert settled["error"] is None
    assert cited(settled) == ["tides.md"]
    assert "gravity of the Moon" in settled["answer"]["text"]


def test_a_question_over_the_web_socket_is_answered_as_it_happens(stack: Played) -> None:
    stack.send(DOCUMENTS)
    pushed = stack.watch("How does a suspension bridge hang its deck?")
    events = [each["event"] for each in pushed]
    assert events[:2] == ["accepted", "request"]
    assert "delivery" in events
    assert cited(pushed[-1]["data"]) == ["bridges.md"]


def test_a_document_that_is_put_into_the_bucket_is_read(stack: Played) -> None:
    stack.put("glaciers.md", "# Glaciers\n\nA glacier moves since its ice deforms under its own weight.\n")
    poll(lambda: cited(stack.ask("Why does a glacier move?")) == ["Glaciers"])


def test_a_second_deployment_changes_nothing(stack: Played) -> None:
    report = stack.deployment.deploy(deploy_here, stack.settings)
    assert report.same
    assert (report.made, report.changed, report.gone) == ([], [], [])


def test_nobody_is_let_in_without_a_key(stack: Played) -> None:
    assert stack.call("GET", "/workflows", key="").status == 401
    assert stack.call("GET", "/workflows", key="another-key-of-someone").status == 403
    assert stack.call("GET", "/workflows", headers={"x-tenant": "somebody-else"}).status == 401
    with pytest.raises(InvalidStatus, match=r"40[13]"), stack.connected(key="another-key-of-someone"):
        pass


def test_everything_that_services_do_for_one_another_is_allowed_by_what_the_program_declares(stack: Played) -> None:
    assert stack.deployment.links.broken() == []


def test_no_resource_lets_in_a_service_that_never_comes(stack: Played) -> None:
    assert stack.deployment.links.unused() == []


@pytest.mark.parametrize("exercise", [each.__name__ for each in exercises.EXERCISES])
def test_a_stack_does_what_it_is_asked(exercised: Exercised, exercise: str) -> None:
    assert exercise not in exercised.failed, exercised.failed[exercise]


@pytest.mark.parametrize("function", GIVEN)
def test_every_call_of_a_function_is_allowed_by_a_statement(exercised: Exercised, function: str) -> None:
    assert [str(each.asked) for each in exercised.calls if each.function == physical(function) and not each.grant] == []


def test_every_call_is_one_that_somebody_explained(stack: Played, exercised: Exercised) -> None:
    assert exercised.calls
    assert stack.gate.strange == []


def test_a_function_is_given_the_statements_that_these_tests_know_and_no_others(stack: Played) -> None:
    given = {function: {grant.sid for grant, _ in stack.gate.grants(physical(function))} for function in GIVEN}
    assert given == {function: set(sids.split()) for function, sids in GIVEN.items()}


@pytest.mark.parametrize(("function", "sid"), STATEMENTS)
def test_without_this_statement_a_function_is_refused_what_it_needs_it_for(
    stack: Played, request: pytest.FixtureRequest, function: str, sid: str
) -> None:
    """The gate decides by statements alone: each call that this one let through is decided again without it.

    An action that no call needed has a reason in `UNNEEDED`.
    """
    grant = Grant(physical(function), sid)
    statement = dict(stack.gate.grants(grant.role)).get(grant)
    assert statement is not None, f"the role of {function} has no statement {sid}"
    calls = [each for each in request.getfixturevalue("exercised").calls if each.grant == grant]
    explained = {action for each in UNNEEDED if each.covers(function, sid) for action in each.actions.split()}
    assert {*statement.actions} - {each.asked.action for each in calls} <= explained
    with stack.gate.without(grant):
        assert not calls or any(stack.gate.decide(grant.role, each.asked) is None for each in calls)


@pytest.mark.parametrize("known", UNNEEDED, ids=lambda known: f"{known.sid} {known.actions}")
def test_every_reason_why_a_permission_is_not_needed_here_is_about_one_that_is_given(
    stack: Played, exercised: Exercised, known: Unneeded
) -> None:
    """And, unless chance decides, about one that no call needed."""
    needed = {(each.grant, each.asked.action) for each in exercised.calls}
    for function in known.functions.split():
        statement = dict(stack.gate.grants(physical(function)))[Grant(physical(function), known.sid)]
        assert {*known.actions.split()} <= {*statement.actions}
        grant = Grant(physical(function), known.sid)
        assert known.by_chance or not [each for each in known.actions.split() if (grant, each) in needed]


@pytest.mark.parametrize(
    ("function", "sid"),
    [("planner", "OwnItems")],
)
def test_an_agent_without_a_grant_is_refused_by_name_and_its_request_goes_on_once_it_has_it_again(
    stack: Played, function: str, sid: str
) -> None:
    stack.send(DOCUMENTS)
    before = len(stack.gate.seen())
    with stack.gate.without(Grant(physical(function), sid)):
        request = stack.begin(workflow="answer", conversation=f"without-{sid}")
        poll(lambda: any(each.function == physical(function) for each in stack.gate.refused(before)))
    assert "AccessDenied" in stack.log(function)
    assert cited(stack.settled(request)) == ["tides.md"]


def test_nobody_is_let_in_where_the_authorizer_may_not_read_the_keys(stack: Played) -> None:
    """Its keys are read once; a fresh one has to read them."""
    asked = next(each.asked for each in stack.gate.seen() if each.asked.action == "secretsmanager:GetSecretValue")
    role = physical("authorizer")
    with stack.gate.without(Grant(role, "SecretApiKeys")):
        assert stack.gate.decide(role, asked) is None
        call = Call(
            method="POST",
            target="/",
            headers={
                "authorization": "AWS4-HMAC-SHA256 Credential=ASIA1/20260101/us-east-1/secretsmanager/aws4_request",
                "x-amz-target": "secretsmanager.GetSecretValue",
            },
            body=json.dumps({"SecretId": asked.resource}).encode(),
        )
        status, _, body = stack.gate.answered("authorizer", role, call)
    assert status == 400
    assert b"AccessDeniedException" in body
    assert KEY.encode() not in body


def test_an_event_of_another_stack_changes_nothing(stack: Played) -> None:
    """It is on no rule of this stack: nobody hears it."""
    before = len(actions_of(stack, "orchestrator"))
    (bus,) = stack.deployment.all("aws:cloudwatch/eventBus:EventBus")
    entry = {"Source": "other-stack.answer", "DetailType": "UserMessage.v1", "Detail": "{}", "EventBusName": bus.id}
    stack.deployment.client("events").put_events(Entries=[entry])
    attributes = stack.deployment.client("sqs").get_queue_attributes(
        QueueUrl=exercises.queue_of(stack, "orchestrator"), AttributeNames=["ApproximateNumberOfMessages"]
    )
    assert attributes["Attributes"]["ApproximateNumberOfMessages"] == "0"
    assert len(actions_of(stack, "orchestrator")) == before


def test_a_body_that_is_too_large_is_refused_and_says_so(stack: Played) -> None:
    sent = [{"name": "large", "text": "x" * 1_100_000, "format": "text"}]
    answered = stack.call("POST", "/collections/documents/documents", {"documents": sent})
    assert answered.status == 413
    assert "1 MiB" in answered.body["detail"]
