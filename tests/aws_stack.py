"""What the infrastructure makes, made by hand in an emulator: a table, a bucket, a queue, a bus that leads to it."""

import json
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from ministack import Emulator


def make_table(emulator: Emulator, name: str) -> None:
    """As the program declares it."""
    text = [{"AttributeName": each, "AttributeType": "S"} for each in ("pk", "sk", "due_group")]
    numbers = [{"AttributeName": each, "AttributeType": "N"} for each in ("at", "due_at")]
    with closing(emulator.client("dynamodb")) as client:
        client.create_table(
            TableName=name,
            AttributeDefinitions=[*text, *numbers],
            KeySchema=_keys("pk", "sk"),
            LocalSecondaryIndexes=[
                {"IndexName": "by_time", "KeySchema": _keys("pk", "at"), "Projection": {"ProjectionType": "ALL"}}
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by_due",
                    "KeySchema": _keys("due_group", "due_at"),
                    "Projection": {"ProjectionType": "KEYS_ONLY"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
        )


def make_bucket(emulator: Emulator, name: str) -> None:
    with closing(emulator.client("s3")) as client:
        client.create_bucket(Bucket=name)


def make_queue(emulator: Emulator, name: str) -> str:
    """Its URL."""
    with closing(emulator.client("sqs")) as client:
        url: str = client.create_queue(QueueName=name)["QueueUrl"]
    return url


def make_bus(emulator: Emulator, name: str, queue: str, pattern: Mapping[str, Any]) -> None:
    """With a rule whose detail goes into a queue."""
    with closing(emulator.client("events")) as events, closing(emulator.client("sqs")) as sqs:
        arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.create_event_bus(Name=name)
        events.put_rule(Name=name, EventBusName=name, EventPattern=json.dumps(pattern))
        events.put_targets(Rule=name, EventBusName=name, Targets=[{"Id": "queue", "Arn": arn, "InputPath": "$.detail"}])


def received(emulator: Emulator, queue: str, count: int) -> list[dict[str, Any]]:
    """So many messages of a queue, hidden from others meanwhile; fewer where no more come."""
    messages: list[dict[str, Any]] = []
    with closing(emulator.client("sqs")) as sqs:
        while len(messages) < count:
            found = sqs.receive_message(
                QueueUrl=queue,
                MaxNumberOfMessages=10,
                WaitTimeSeconds=5,
                AttributeNames=["All"],
                MessageAttributeNames=["All"],
            ).get("Messages", [])
            if not found:
                break
            messages += found
    return messages


def _keys(partition: str, sort: str) -> list[dict[str, str]]:
    return [
        {"AttributeName": partition, "KeyType": "HASH"},
        {"AttributeName": sort, "KeyType": "RANGE"},
    ]
