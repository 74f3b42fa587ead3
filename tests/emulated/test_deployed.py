"""The project's own program on an emulator of AWS, with permissions enforced, asked what a user would ask.

No test makes a resource: what is there, the program registered.
"""

import json
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from typing import Final

import pytest
from emulated import exercises
from emulated.aws_calls import Call
from emulated.exercises import actions_of, cited, physical, poll
from emulated.gate import Grant, Seen
from emulated.playing import DOCUMENTS, KEY, Played
from emulated.program import deploy_here
from websockets.exceptions import InvalidStatus

from infra.aws.service_grants import SERVICES

pytestmark = [pytest.mark.slow, pytest.mark.emulated, pytest.mark.filterwarnings("ignore::ResourceWarning")]

AGENTS: Final = tuple(agent for agent, _ in exercises.agents())
#: What no exercise needs, and why: by function, statement and action.
UNNEEDED: Final[Mapping[tuple[str, str, str], str]] = {
    ("*", "OwnItems", "dynamodb:BatchWriteItem"): "no request is erased just while an agent is at work on it",
    ("*", "Requests", "dynamodb:*"): "which agent settles a failed request depends on where it failed",
    ("*", "LargeData", "s3:*"): "data above 48 KB and outputs above 4 KB: some agents are given none here",
    ("*", "OlderPlans", "s3:GetObject"): "for services, only a redrive of an older request needs it",
    ("action", "Holds", "dynamodb:*"): "this stack declares no actions, so that nothing is remembered of them",
    ("caller", "Effects", "dynamodb:*"): "this stack declares no actions",
    ("response_builder", "Originals", "dynamodb:*"): "this stack keeps personal data where it is",
    ("*", "Carries", "dynamodb:*"): "where a bundle carries no encoder it has nothing to say",
    ("ingester", "DocumentDocuments", "dynamodb:BatchGetItem"): "several documents that were read before",
    ("desk", "*", "*"): "redrives, which are begun by a person at a command",
    ("sweeper", "*", "*"): "what a crash left half done, and erasures that were cut off",
    ("keeper", "*", "*"): "a switch of versions, and texts of passages that expired",
    ("pusher", "*", "*"): "what the message of a connection that watches has not told already",
    ("socket", "*", "*"): "messages above 48 KB, and documents, which do not come this way",
    ("uploads", "*", "*"): "documents above 48 KB, and a bucket that keeps versions",
    ("api", "*", "*"): "redrives, and all that is held of them",
}


@pytest.fixture(scope="session")
def exercised(stack: Played) -> list[Seen]:
    """Every call of every function, once a stack was asked everything; of the refused ones, those of that time."""
    before = len(stack.gate.seen())
    stack.deployment.links.broken()  # what Lambda does for each function, by its role
    exercises.everything(stack)
    return [*(each for each in stack.gate.seen() if each.grant is not None), *stack.gate.refused(before)]


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


def test_every_call_of_a_function_is_allowed_by_a_statement(stack: Played, exercised: list[Seen]) -> None:
    assert stack.gate.strange == []
    assert [f"{each.function}: {each.asked}" for each in exercised if each.grant is None] == []


@pytest.mark.parametrize("function", [*AGENTS, *SERVICES])
def test_every_permission_of_a_function_is_needed(stack: Played, exercised: list[Seen], function: str) -> None:
    """Or says why nothing here needs it; and a reason that is not needed any more is none."""
    needed = {(each.grant, each.asked.action) for each in exercised}
    unneeded = {
        (grant.sid, action)
        for grant, statement in stack.gate.grants(physical(function))
        for action in statement.actions
        if (grant, action) not in needed
    }
    unexplained = {each for each in unneeded if not any(_matches(known, function, each) for known in UNNEEDED)}
    assert unexplained == set()


def test_every_reason_why_a_permission_is_not_needed_here_is_still_one(stack: Played, exercised: list[Seen]) -> None:
    needed = {(each.grant, each.asked.action) for each in exercised}
    unneeded = [
        (function, (grant.sid, action))
        for function in (*AGENTS, *SERVICES)
        for grant, statement in stack.gate.grants(physical(function))
        for action in statement.actions
        if (grant, action) not in needed
    ]
    idle = [known for known in UNNEEDED if not any(_matches(known, function, each) for function, each in unneeded)]
    assert idle == []


#: The sweeper may read requests twice over, by `Requests` and by `Held`: to let them go on, and to end an erasure.
@pytest.mark.parametrize("function", [*AGENTS, *(name for name in SERVICES if name != "sweeper")])
def test_without_any_one_of_its_statements_a_function_is_refused_something(
    stack: Played, exercised: list[Seen], function: str
) -> None:
    """The gate decides by the statements alone: what it let through with one, it is asked again without it."""
    role = physical(function)
    kept = [grant.sid for grant, calls in _by_grant(role, exercised) if not _refused_without(stack, grant, calls)]
    assert kept == []


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


def _matches(known: tuple[str, str, str], function: str, statement: tuple[str, str]) -> bool:
    return all(fnmatch(given, pattern) for given, pattern in zip((function, *statement), known, strict=True))


def _by_grant(role: str, seen: list[Seen]) -> Iterator[tuple[Grant, list[Seen]]]:
    grants = {each.grant for each in seen if each.grant is not None and each.grant.role == role}
    for grant in sorted(grants, key=lambda grant: grant.sid):
        yield grant, [each for each in seen if each.grant == grant]


def _refused_without(stack: Played, grant: Grant, calls: list[Seen]) -> bool:
    with stack.gate.without(grant):
        return any(stack.gate.decide(grant.role, each.asked) is None for each in calls)
