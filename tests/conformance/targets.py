"""The targets that the suite knows, and those that it cannot run here."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from cloudlike_target import CloudlikeTarget
from dynamodb_target import DynamoTarget
from harness import Clock
from local_target import LocalTarget
from target import Troupe

from functions.runtime.workflow import Workflow

#: By name, in the order of the page.
TARGETS = {"local": LocalTarget, "memory": CloudlikeTarget, "dynamodb": DynamoTarget}
#: The files whose tests a target leaves out.
LEFT_OUT = {"dynamodb": ("test_hostile_events",)}
#: Why a target leaves tests out: those of such a file, or those that move the clock.
REASONS = {"local": "its clock cannot be set", "dynamodb": "so many events take minutes there"}
#: Those on which no test runs, by the reason.
ABSENT = {"there are no adapters for them": ("gcp", "azure")}


def runs(name: str, file: str, *, sets_clock: bool) -> bool:
    """Whether a target runs a test of this file, which may move the clock."""
    return (not sets_clock or TARGETS[name].sets_clock) and file not in LEFT_OUT.get(name, ())


@contextmanager
def deployed(name: str, folder: Path, clock: Clock, *workflows: Workflow) -> Iterator[Troupe]:
    """A deployment of these workflows, taken down at the end."""
    with closing(TARGETS[name](folder, clock, *workflows)) as target:
        yield Troupe(target)
