"""What the project says of AWS's regions, days and names is what AWS's own service models say."""

import re

import pytest
from botocore.session import Session, get_session
from recorded_stack import recorded

from functions.runtime.topology import topology
from functions.workflows.catalog import WORKFLOWS
from infra.aws import limits
from infra.naming import Limit, Names, problems
from infra.settings import NetworkSettings, Settings, schema

SHAPES = [
    (limits.BUS, "events", "EventBusName"),
    (limits.RULE, "events", "RuleName"),
    (limits.ROLE, "iam", "roleNameType"),
    (limits.TABLE, "dynamodb", "TableName"),
    (limits.LOG_GROUP, "logs", "LogGroupName"),
    (limits.SCHEDULE, "scheduler", "Name"),
]
#: Names that have their limit in the words of an operation alone.
SAID = [
    (limits.QUEUE, ("sqs", "CreateQueue", "QueueName"), r"up to (\d+) characters"),
    (limits.FUNCTION, ("lambda", "CreateFunction", "FunctionName"), r"limited to (\d+) characters"),
]


@pytest.fixture(scope="module")
def session() -> Session:
    return get_session()


def said_of(session: Session, service: str, operation: str, member: str) -> str:
    return str(session.get_service_model(service).operation_model(operation).input_shape.members[member].documentation)


@pytest.mark.parametrize(("limit", "service", "shape"), SHAPES, ids=[each[0].what for each in SHAPES])
def test_a_name_is_limited_as_its_service_says(session: Session, limit: Limit, service: str, shape: str) -> None:
    metadata = session.get_service_model(service).shape_for(shape).metadata
    assert limit.longest == metadata["max"]
    for code in range(128):
        name = chr(code) * 3
        assert bool(re.fullmatch(limit.pattern, name)) == bool(re.fullmatch(metadata["pattern"], name)), name


@pytest.mark.parametrize(("limit", "said", "words"), SAID, ids=[each[0].what for each in SAID])
def test_a_name_is_as_long_as_its_service_tells(limit: Limit, said: tuple[str, str, str], words: str) -> None:
    found = re.search(words, said_of(get_session(), *said))
    assert found
    assert limit.longest == int(found[1])


def test_regions_are_those_that_have_lambda(session: Session) -> None:
    assert set(session.get_available_regions("lambda")) == limits.REGIONS


def test_logs_are_kept_for_days_that_cloudwatch_knows(session: Session) -> None:
    text, _, _ = said_of(session, "logs", "PutRetentionPolicy", "retentionInDays").partition("</p>")
    assert [int(each) for each in re.findall(r"\d+", text)] == schema()["properties"]["logRetentionDays"]["enum"]


def test_a_stack_of_usual_names_fits() -> None:
    assert not problems(limits.names(Names(project="troupe", stack="prod"), ["response_builder"]))


def test_each_name_that_does_not_fit_is_told_once_with_its_limit() -> None:
    names = Names(project="troupe", stack="x" * 45)
    told = problems(limits.names(names, ["response_builder"]))
    assert {re.sub(r".*, and (.*) takes .*", r"\1", each) for each in told} == {
        *("a bucket of S3", "a Lambda function", "a rule of EventBridge", "an IAM role", "a schedule"),
    }
    assert len(told) == 5


def test_an_agent_whose_queue_is_called_like_anothers_net_is_told() -> None:
    (told,) = problems(limits.names(Names(project="troupe", stack="prod"), ["plan", "plan_dead"]))
    assert told == "troupe-prod-plan-dead would be the name of two: rename the agent"
    assert problems(limits.names(Names(project="troupe", stack="prod"), ["sweeper_schedule"]))
    assert not problems(limits.names(Names(project="troupe", stack="prod"), ["plan", "planner"]))


@pytest.mark.parametrize("workflow", ["answer", "ingest"])
def test_every_name_of_a_stack_whose_name_is_as_long_as_may_be_fits(workflow: str) -> None:
    settings = Settings(
        workflows=(workflow,),
        ingest=workflow == "ingest",
        encryption="stack",
        protect=True,
        network=NetworkSettings(vpc=True),
        secrets={"api-keys": "keys"},
    )
    fitting = [length for length in range(1, 60) if not problems(limits.names(names_of(length), agents_of(workflow)))]
    found = recorded(settings, stack="d" * max(fitting))
    for limit, kind in (
        *((limits.ROLE, "Role"), (limits.QUEUE, "Queue"), (limits.FUNCTION, "Function")),
        *((limits.RULE, "EventRule"), (limits.SCHEDULE, "Schedule"), (limits.LOG_GROUP, "LogGroup")),
    ):
        assert not problems([(limit, each.inputs["name"]) for each in found.of(kind)])


def names_of(length: int) -> Names:
    return Names(project="troupe", stack="d" * length)


def agents_of(workflow: str) -> list[str]:
    return list(topology(WORKFLOWS[workflow])[workflow].nodes)
