"""What the project says of AWS's regions, days and names is what AWS's own service models say."""

import re

import pytest
from botocore.session import Session, get_session

from infra.aws import limits
from infra.naming import Limit, Names, problems
from infra.settings import schema

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
