"""The shipped state over DynamoDB, on an emulator: the messages are the ones in memory, whose time a test can move.

SQS's own time cannot be moved, so that what queues and rules do is shown in `tests/adapters/aws` and `tests/emulated`.
"""

import atexit
import base64
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from functools import cache
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import memory_target
from aws_stack import make_table
from cloudlike_target import CloudlikeTarget
from harness import Clock
from memory_items import Kept
from ministack import Emulator, ministack

from functions.adapters.aws.client import DYNAMODB, Aws
from functions.adapters.aws.items import DynamoItems
from functions.ports.items import Item
from functions.runtime.workflow import Workflow

_numbers = count()
_running = ExitStack()
atexit.register(_running.close)


@cache
def _emulator() -> Emulator:
    """One for all tests of a process."""
    folder = Path(_running.enter_context(TemporaryDirectory(prefix="troupe-dynamodb-")))
    return _running.enter_context(ministack(folder))


class TableItems(DynamoItems):
    """The items of one table, and all of them at once, as a test looks for what was left behind."""

    def __init__(self, aws: Aws, table: str, clock: Clock) -> None:
        super().__init__(aws, table, clock)
        self._all = aws, table

    @property
    def partitions(self) -> dict[str, dict[str, Kept]]:
        """What the table holds."""
        found: dict[str, dict[str, Kept]] = {}
        for row in self._scanned():
            value = base64.b64decode(row.get("value", {}).get("B", ""))
            item = Item(key=row["sk"]["S"], value=value, revision=int(row.get("revision", {}).get("N", 0)))
            found.setdefault(row["pk"]["S"], {})[item.key] = Kept(item=item if "value" in row else None)
        return found

    def expire(self, now: datetime) -> None:
        """Remove what may be gone, as DynamoDB does some day."""
        over = [row for row in self._scanned() if float(row.get("expires_at", {}).get("N", "inf")) <= now.timestamp()]
        self.delete([(row["pk"]["S"], row["sk"]["S"]) for row in over])

    def _scanned(self) -> Iterator[dict[str, dict[str, str]]]:
        aws, table = self._all
        asked: dict[str, object] = {"TableName": table, "ConsistentRead": True}
        while True:
            found = aws.call(DYNAMODB, "Scan", asked)
            yield from found["Items"]
            if "LastEvaluatedKey" not in found:
                return
            asked["ExclusiveStartKey"] = found["LastEvaluatedKey"]


class DynamoTarget(CloudlikeTarget):
    """See `Target`."""

    def __init__(self, folder: Path, clock: Clock, *workflows: Workflow) -> None:
        emulator = _emulator()
        table = f"conformance-{next(_numbers)}"
        make_table(emulator, table)
        self._aws = Aws(emulator.environment)
        items = TableItems(self._aws, table, clock)
        super().__init__(
            folder, clock, *workflows, target=memory_target.MemoryTarget(*workflows, clock=clock, items=items)
        )

    def close(self) -> None:
        self._aws.close()
