"""The `Items` port on one DynamoDB table.

The table has the keys `pk` and `sk`, both strings; a local index `by_time` (`pk`, `at`) and a global one `by_due`
(`due_group`, `due_at`, keys only), both of numbers and only of the items that have them; and `expires_at` as its time
to live. A counter's numbers are attributes `n_…`.
"""

import secrets
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, Final

from functions.adapters.aws.client import DYNAMODB, Aws, AwsError
from functions.errors import TroupeError
from functions.ports.items import Due, Item, Place

REFUSED: Final = "ConditionalCheckFailedException"
BY_TIME: Final = "by_time"
BY_DUE: Final = "by_due"
MOST_READ, MOST_DELETED = 100, 25  # in one call of BatchGetItem and of BatchWriteItem

Row = Mapping[str, Any]


class ItemsError(TroupeError):
    """The table put off what was asked of it until the time of the call was over."""


class DynamoItems:
    """See `Items`. What the client raises comes out: the delivery is tried again.

    Args:
        aws: Tries again what is throttled or cut off.
        table: Its name.
        now: The time, in UTC: what is expired and not removed yet is not there.
    """

    def __init__(self, aws: Aws, table: str, now: Callable[[], datetime]) -> None:
        self._aws = aws
        self._table = table
        self._now = now

    def get(self, places: Sequence[Place]) -> Sequence[Item | None]:
        """See `Items.get`."""
        rows = self._rows(places)
        return [_item(rows[place]) if place in rows else None for place in places]

    def counted(self, places: Sequence[Place]) -> Sequence[Mapping[str, int]]:
        """See `Items.counted`."""
        rows = self._rows(places)
        return [_counts(rows[place]) if place in rows else {} for place in places]

    def query(self, partition: str, prefix: str = "") -> Sequence[Item]:
        """See `Items.query`."""
        condition, values = "pk = :pk", {":pk": {"S": partition}}
        if prefix:
            condition, values = f"{condition} AND begins_with(sk, :sk)", values | {":sk": {"S": prefix}}
        return [_item(row) for row in self._queried(condition, values) if "value" in row]

    def latest(self, partition: str, limit: int) -> Sequence[Item]:
        """See `Items.latest`."""
        options = {"IndexName": BY_TIME, "ScanIndexForward": False, "Limit": limit}
        newest = islice(self._queried("pk = :pk", {":pk": {"S": partition}}, **options), limit)
        return [_item(row) for row in reversed(list(newest))]

    def put(  # noqa: PLR0913 - the port's
        self,
        place: Place,
        value: bytes,
        *,
        revision: int,
        expires_at: datetime | None = None,
        at: datetime | None = None,
        due: Due | None = None,
    ) -> bool:
        """See `Items.put`. Where an answer was lost and it was asked again, its own write is known again."""
        row: dict[str, Any] = {
            **_key(place),
            "value": {"B": b64encode(value).decode()},
            "revision": _number(revision + 1),
            "token": {"S": secrets.token_hex(8)},  # two that write the same at once must not both know it as theirs
            **({} if expires_at is None else {"expires_at": _number(int(expires_at.timestamp()))}),
            **({} if at is None else {"at": _number(at.timestamp())}),
            **({} if due is None else {"due_group": {"S": due.group}, "due_at": _number(due.at.timestamp())}),
        }
        is_there = "revision = :revision" if revision else "attribute_not_exists(pk) OR expires_at <= :now"
        values = {":revision": _number(revision)} if revision else {":now": _number(self._now().timestamp())}
        try:
            self._call(
                "PutItem",
                {
                    "Item": row,
                    "ConditionExpression": is_there,
                    "ExpressionAttributeValues": values,
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                },
            )
        except AwsError as error:
            if error.code != REFUSED:
                raise
            return error.answer.get("Item") == row
        return True

    def count(
        self,
        place: Place,
        counts: Mapping[str, int],
        *,
        within: Mapping[str, int] | None = None,
        expires_at: datetime | None = None,
    ) -> Mapping[str, int] | None:
        """See `Items.count`. Where an answer was lost and it was asked again, it may count twice."""
        names = {f"#{each}": f"n_{each}" for each in counts}
        values = {f":{each}": _number(number) for each, number in counts.items()}
        adds = f"ADD {', '.join(f'#{each} :{each}' for each in counts)}"
        if expires_at is not None:
            adds, values = (
                f"{adds} SET expires_at = :expires_at",
                values | {":expires_at": _number(int(expires_at.timestamp()))},
            )
        limits = {each: most - counts[each] for each, most in (within or {}).items()}
        if any(left < 0 for left in limits.values()):
            return None
        condition = " AND ".join(f"(attribute_not_exists(#{each}) OR #{each} <= :most_{each})" for each in limits)
        values |= {f":most_{each}": _number(left) for each, left in limits.items()}
        try:
            updated = self._call(
                "UpdateItem",
                {
                    "Key": _key(place),
                    "UpdateExpression": adds,
                    "ExpressionAttributeNames": names,
                    "ExpressionAttributeValues": values,
                    "ReturnValues": "ALL_NEW",
                    **({"ConditionExpression": condition} if condition else {}),
                },
            )
        except AwsError as error:
            if error.code != REFUSED:
                raise
            return None
        return _counts(updated["Attributes"])

    def due(self, group: str, before: datetime, limit: int) -> Sequence[Place]:
        """See `Items.due`; the index follows the table within a moment."""
        condition = "due_group = :group AND due_at <= :before"
        values = {":group": {"S": group}, ":before": _number(before.timestamp())}
        rows = self._queried(condition, values, IndexName=BY_DUE, ConsistentRead=False, Limit=limit)
        return [(row["pk"]["S"], row["sk"]["S"]) for row in islice(rows, limit)]

    def delete(self, places: Sequence[Place]) -> None:
        """See `Items.delete`."""
        unique = list(dict.fromkeys(places))  # a call that names one twice is refused whole
        for start in range(0, len(unique), MOST_DELETED):
            left: dict[str, Any] = {
                self._table: [{"DeleteRequest": {"Key": _key(place)}} for place in unique[start : start + MOST_DELETED]]
            }
            for _ in self._aws.tries(DYNAMODB):
                left = self._aws.call(DYNAMODB, "BatchWriteItem", {"RequestItems": left}).get("UnprocessedItems") or {}
                if not left:
                    break
            else:
                raise ItemsError(f"{self._table} is throttled: items are left that were to be deleted; try again")

    def _rows(self, places: Sequence[Place]) -> dict[Place, Row]:
        unique = list(dict.fromkeys(places))
        rows = [
            row for start in range(0, len(unique), MOST_READ) for row in self._some(unique[start : start + MOST_READ])
        ]
        return {(row["pk"]["S"], row["sk"]["S"]): row for row in rows if self._is_alive(row)}

    def _some(self, places: Sequence[Place]) -> Sequence[Row]:
        if len(places) == 1:
            found = self._call("GetItem", {"Key": _key(places[0]), "ConsistentRead": True})
            return [found["Item"]] if "Item" in found else []
        rows: list[Row] = []
        left: dict[str, Any] = {self._table: {"Keys": [_key(place) for place in places], "ConsistentRead": True}}
        for _ in self._aws.tries(DYNAMODB):
            found = self._aws.call(DYNAMODB, "BatchGetItem", {"RequestItems": left})
            rows += found["Responses"].get(self._table, [])
            left = found.get("UnprocessedKeys") or {}
            if not left:
                return rows
        raise ItemsError(f"{self._table} is throttled: items are left that were to be read; try again")

    def _queried(self, condition: str, values: Mapping[str, Any], **options: Any) -> Iterator[Row]:
        asked = {
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": values,
            "ConsistentRead": True,
            **options,
        }
        while True:
            found = self._call("Query", asked)
            yield from (row for row in found["Items"] if self._is_alive(row))
            if "LastEvaluatedKey" not in found:
                return
            asked["ExclusiveStartKey"] = found["LastEvaluatedKey"]

    def _call(self, operation: str, given: Mapping[str, Any]) -> dict[str, Any]:
        return self._aws.call(DYNAMODB, operation, {"TableName": self._table, **given})

    def _is_alive(self, row: Row) -> bool:
        return "expires_at" not in row or float(row["expires_at"]["N"]) > self._now().timestamp()


def _key(place: Place) -> dict[str, Any]:
    return {"pk": {"S": place[0]}, "sk": {"S": place[1]}}


def _number(value: float) -> dict[str, str]:
    """As DynamoDB writes it, without a zero behind the point: so a row can be compared with one that it gives."""
    return {"N": str(int(value)) if value == int(value) else str(value)}


def _item(row: Row) -> Item:
    return Item(key=row["sk"]["S"], value=b64decode(row["value"]["B"]), revision=int(row["revision"]["N"]))


def _counts(row: Row) -> Mapping[str, int]:
    return {name.removeprefix("n_"): int(number["N"]) for name, number in row.items() if name.startswith("n_")}
