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
#: What its items are not asked anew: these tests are about messages, which it shares with `memory`.
ABOUT_MESSAGES = (
    "test_guard_refusals",
    "test_hostile_events",
    "test_lying_events",
    "test_retries",
    "test_routes_and_filters",
    "test_unreadable_events",
)
#: Why a target leaves tests out, where it does.
LEAVES_OUT = {"local": "its clock cannot be set", "dynamodb": "its messages are those of `memory`"}
#: Those on which no test runs, by the reason.
ABSENT = {"there are no adapters for them": ("gcp", "azure")}


def runs(name: str, file: str, *, sets_clock: bool) -> bool:
    """Whether a target runs a test of this file, which may move the clock."""
    return (not sets_clock or TARGETS[name].sets_clock) and (name != "dynamodb" or file not in ABOUT_MESSAGES)


@contextmanager
def deployed(name: str, folder: Path, clock: Clock, *workflows: Workflow) -> Iterator[Troupe]:
    """A deployment of these workflows, taken down at the end."""
    with closing(TARGETS[name](folder, clock, *workflows)) as target:
        yield Troupe(target)
