"""The reading of IAM's rules that everything else here stands on."""

import json
from collections.abc import Mapping
from typing import Any

import pytest
from emulated.aws_calls import Call, UnknownCallError, asked_by
from emulated.gate import Gate, Grant
from emulated.permissions import Asked, deciding, of_service, statements

RULE_OF_1 = {"aws:SourceArn": ("arn:aws:events:r:1:rule/b/x",)}
TABLE = "arn:aws:dynamodb:eu-central-1:000000000000:table/troupe-dev"


def policy(*given: Mapping[str, Any]) -> str:
    return json.dumps(
        {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Resource": "*", **each} for each in given]}
    )


def allowed(document: str, asked: Asked) -> bool:
    return deciding(statements(document), asked) is not None


OWN_ITEMS = policy(
    {
        "Sid": "OwnItems",
        "Action": ["dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query"],
        "Resource": TABLE,
        "Condition": {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["planner#*"]},
            "Null": {"dynamodb:LeadingKeys": "false"},
        },
    }
)


def reads(*partitions: str, resource: str = TABLE) -> Asked:
    context = {"dynamodb:LeadingKeys": partitions} if partitions else {}
    return Asked(action="dynamodb:BatchGetItem", resource=resource, context=context)


def test_what_no_statement_allows_is_refused() -> None:
    assert not allowed(OWN_ITEMS, Asked(action="dynamodb:PutItem", resource=TABLE))
    assert not allowed(OWN_ITEMS, reads("planner#t#r", resource=TABLE + "-other"))


def test_every_partition_of_a_call_has_to_be_the_role_s_own() -> None:
    assert allowed(OWN_ITEMS, reads("planner#t#r", "planner#t#s"))
    assert not allowed(OWN_ITEMS, reads("planner#t#r", "retriever#t#r"))


def test_a_call_that_names_no_partition_is_refused() -> None:
    assert not allowed(OWN_ITEMS, reads())


def test_a_statement_that_denies_wins() -> None:
    document = policy(
        {"Action": "s3:*"}, {"Effect": "Deny", "Action": "s3:PutObject", "Resource": "arn:aws:s3:::b/plans/*"}
    )
    assert allowed(document, Asked(action="s3:PutObject", resource="arn:aws:s3:::b/blobs/x"))
    assert not allowed(document, Asked(action="s3:PutObject", resource="arn:aws:s3:::b/plans/x"))


@pytest.mark.parametrize(
    ("condition", "context", "holds"),
    [
        ({"StringEquals": {"events:source": "a"}}, {"events:source": ("a",)}, True),
        ({"StringEquals": {"events:source": "a"}}, {"events:source": ("b",)}, False),
        ({"StringEquals": {"events:source": "a"}}, {}, False),
        ({"StringEqualsIfExists": {"events:source": "a"}}, {}, True),
        ({"StringNotEquals": {"aws:PrincipalAccount": "1"}}, {"aws:principalaccount": ("2",)}, True),
        ({"StringLike": {"s3:prefix": "docs/*"}}, {"s3:prefix": ("docs/a",)}, True),
        ({"StringLike": {"s3:prefix": "docs/?"}}, {"s3:prefix": ("docs/ab",)}, False),
        ({"ForAllValues:StringLike": {"k": "a#*"}}, {}, True),
        ({"ArnEquals": {"aws:SourceArn": ["arn:aws:events:r:1:rule/b/*"]}}, RULE_OF_1, True),
        ({"ArnLike": {"aws:SourceArn": "arn:aws:events:r:2:rule/b/x"}}, RULE_OF_1, False),
        ({"Bool": {"aws:SecureTransport": "false"}}, {"aws:SecureTransport": ("true",)}, False),
        ({"Null": {"k": "true"}}, {}, True),
    ],
)  # fmt: skip
def test_conditions_hold_as_aws_says(
    condition: Mapping[str, Any],
    context: Mapping[str, tuple[str, ...]],
    holds: bool,  # noqa: FBT001 - what is expected
) -> None:
    document = policy({"Action": "a:B", "Condition": condition})
    assert allowed(document, Asked(action="a:B", resource="r", context=context)) is holds


def test_an_operator_that_nobody_explained_is_an_error_and_not_a_permission() -> None:
    with pytest.raises(KeyError, match="NumericLessThan"):
        allowed(
            policy({"Action": "a:B", "Condition": {"NumericLessThan": {"k": "1"}}}),
            Asked(action="a:B", resource="r", context={"k": ("0",)}),
        )
    with pytest.raises(ValueError, match="NotAction"):
        statements(policy({"NotAction": "a:B"}))


def test_a_resource_s_policy_speaks_to_the_service_that_it_names() -> None:
    given = statements(policy({"Principal": {"Service": "events.amazonaws.com"}, "Action": "sqs:SendMessage"}))
    assert of_service(given, "events.amazonaws.com") == given
    assert of_service(given, "sns.amazonaws.com") == []


def call(service: str, target: str, given: Mapping[str, Any]) -> Call:
    signed = f"AWS4-HMAC-SHA256 Credential=ASIA1/20260101/eu-central-1/{service}/aws4_request, SignedHeaders=host"
    headers = {"authorization": signed, "x-amz-target": target}
    return Call(method="POST", target="/", headers=headers, body=json.dumps(given).encode())


def test_each_event_of_a_call_is_decided_by_itself() -> None:
    entries = [{"Source": "s.a", "DetailType": "A.v1", "EventBusName": "b"}, {"Source": "s.b", "DetailType": "B.v1"}]
    first, second = asked_by(call("events", "AWSEvents.PutEvents", {"Entries": entries}))
    assert first.context == {"events:source": ("s.a",), "events:detail-type": ("A.v1",)}
    assert first.resource.endswith(":event-bus/b")
    assert second.resource.endswith(":event-bus/default")


def test_the_partitions_of_a_call_are_read_off_it() -> None:
    def asked(operation: str, given: Mapping[str, Any]) -> Asked:
        (found,) = asked_by(call("dynamodb", f"DynamoDB_20120810.{operation}", given))
        return found

    key = {"pk": {"S": "planner#t"}, "sk": {"S": "x"}}
    assert asked("UpdateItem", {"TableName": "t", "Key": key}).context == {"dynamodb:LeadingKeys": ("planner#t",)}
    assert asked("PutItem", {"TableName": "t", "Item": key}).context == {"dynamodb:LeadingKeys": ("planner#t",)}
    assert asked("BatchWriteItem", {"RequestItems": {"t": [{"DeleteRequest": {"Key": key}}]}}).context == {
        "dynamodb:LeadingKeys": ("planner#t",)
    }
    queried = asked(
        "Query",
        {
            "TableName": "t",
            "IndexName": "by_due",
            "KeyConditionExpression": "due_group = :group AND due_at <= :before",
            "ExpressionAttributeValues": {":group": {"S": "open"}, ":before": {"N": "1"}},
        },
    )
    assert queried.context == {"dynamodb:LeadingKeys": ("open",)}
    assert queried.resource.endswith("table/t/index/by_due")


def test_a_call_that_nobody_knows_or_nobody_signed_is_an_error() -> None:
    with pytest.raises(UnknownCallError, match="dynamodb:DeleteTable"):
        asked_by(call("dynamodb", "DynamoDB_20120810.DeleteTable", {"TableName": "t"}))
    with pytest.raises(UnknownCallError, match="not signed"):
        asked_by(Call(method="GET", target="/", headers={}, body=b""))


def test_a_role_without_a_statement_is_refused_what_it_allowed() -> None:
    gate = Gate("http://127.0.0.1:1")
    gate.allow("planner", "grants", statements(OWN_ITEMS))
    grant = Grant("planner", "OwnItems")
    assert gate.decide("planner", reads("planner#t#r")) == grant
    assert gate.decide("retriever", reads("planner#t#r")) is None
    with gate.without(grant):
        assert gate.decide("planner", reads("planner#t#r")) is None
    assert gate.decide("planner", reads("planner#t#r")) == grant


def test_what_a_resource_denies_is_refused_whatever_the_role_says() -> None:
    gate, bucket = Gate("http://127.0.0.1:1"), "arn:aws:s3:::b"
    gate.allow("planner", "grants", statements(policy({"Sid": "All", "Action": "s3:*"})))
    asked = Asked(action="s3:GetObject", resource=f"{bucket}/blobs/x")
    without_tls = {"Bool": {"aws:SecureTransport": "false"}}
    other_account = {"StringNotEquals": {"aws:PrincipalAccount": "000000000000"}}
    for condition in (without_tls, other_account):
        denied = {
            "Effect": "Deny",
            "Principal": "*",
            "Action": "s3:*",
            "Resource": f"{bucket}/*",
            "Condition": condition,
        }
        gate.guard(bucket, statements(policy(denied)))
        assert gate.decide("planner", asked) == Grant("planner", "All")
    gate.guard(
        bucket, statements(policy({"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": f"{bucket}/*"}))
    )
    assert gate.decide("planner", asked) is None
