"""What an erasure asks of the table and the collections is what the roles of those who erase allow."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from fnmatch import fnmatchcase
from types import SimpleNamespace

import pytest
from memory_collection import MemoryCollection
from memory_items import MemoryItems
from memory_target import MemoryTarget
from sample_workflows import SINGLE, Asked
from test_aws_service_grants import place

from functions.adapters.items.catalog import ItemCatalog
from functions.adapters.items.holding import ItemUpsert
from functions.adapters.items.requests import SETTLES
from functions.adapters.items.rights import ItemRights
from functions.adapters.vectors.bound import TenantUpsert, Time
from functions.entry_points.aws.services import Points
from functions.events.common import Passage
from functions.ports.catalog import Entry
from functions.ports.items import Due, Item, Place
from functions.runtime.delivery import Binding
from functions.runtime.plans import crew_of
from functions.runtime.workflow import Budget
from infra.aws.grants import Statement
from infra.aws.service_grants import service

Call = tuple[str, str]  # an action, and the partition that it is in


class Noting(MemoryItems):
    """The items of another one, which notes what AWS would be asked for."""

    def __init__(self, items: MemoryItems) -> None:
        super().__init__()
        self.partitions = items.partitions
        self.calls: set[Call] = set()

    def get(self, places: Sequence[Place]) -> Sequence[Item | None]:
        self.calls |= {("BatchGetItem", partition) for partition, _ in places}
        return super().get(places)

    def query(self, partition: str, prefix: str = "") -> Sequence[Item]:
        self.calls.add(("Query", partition))
        return super().query(partition, prefix)

    def put(self, place: Place, value: bytes, *, revision: int, due: Due | None = None, **how: object) -> bool:  # type: ignore[override] - passed on
        self.calls.add(("PutItem", place[0]))
        return super().put(place, value, revision=revision, due=due, **how)  # type: ignore[arg-type] - see above

    def delete(self, places: Sequence[Place]) -> None:
        self.calls |= {("BatchWriteItem", partition) for partition, _ in places}
        super().delete(places)


class Shelf(MemoryCollection):
    """A collection whose points of some passages cannot be erased now."""

    stuck: frozenset[str] = frozenset()

    def erase(self, ids: Iterable[str], *, tenant: str) -> None:
        if self.stuck & set(ids):
            raise ConnectionError("the vector store is away")
        super().erase(ids, tenant=tenant)


class Erasing:
    """A stack in which conversations stored a memory each."""

    def __init__(self, *conversations: str) -> None:
        self.troupe = MemoryTarget(SINGLE)
        self.shelf = Shelf()
        for name in conversations:
            self.troupe.start(Asked(text="a"), conversation=name, request=f"r-{name}")
            self.troupe.run()
            self._remember(name)
        self.items = Noting(self.troupe.items)
        catalog = ItemCatalog(self.items, "store", self.troupe.clock)
        catalog.write(Entry(name="memories", key=self.shelf.key, current=1, versions=()))
        self.items.calls.clear()
        stack = SimpleNamespace(catalog=catalog, collection=lambda _name: self.shelf)
        self.rights = ItemRights(
            self.items,
            self.troupe.blobs,
            Points(stack),  # type: ignore[arg-type] - as much of a stack as it uses
            lambda: {plan.workflow.name: crew_of(plan) for plan in self.troupe.plans.values()},
            self.troupe.clock,
        )

    def _remember(self, conversation: str) -> None:
        until = self.troupe.clock() + timedelta(seconds=30)
        binding = Binding(
            tenant="default",
            conversation=conversation,
            request=f"r-{conversation}",
            key=conversation,
            origin=conversation,
            agent="work",
            attempt=1,
            until=until,
            budget=Budget(),
        )
        stored = TenantUpsert(self.shelf, "default", Time(until, self.troupe.clock))
        upsert = ItemUpsert(self.troupe.items, stored, collection=self.shelf, binding=binding, now=self.troupe.clock)
        upsert.upsert([Passage(id=conversation, name="n", source="memory", text="a fact")])

    def refused(self, name: str) -> set[Call]:
        """What was asked for and the role of a service does not allow."""
        plans = list(self.troupe.plans.values())
        allowed = [each for each in service(name, plans, place()) if "dynamodb:LeadingKeys" in str(each.conditions)]
        return {
            (action, partition)
            for action, partition in self.items.calls
            if not any(f"dynamodb:{action}" in each.actions and _reaches(each, partition) for each in allowed)
        }


def _reaches(statement: Statement, partition: str) -> bool:
    like = statement.conditions.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys")
    if like is not None:
        return any(fnmatchcase(partition, each) for each in like)
    others = statement.conditions["ForAllValues:StringNotLike"]["dynamodb:LeadingKeys"]
    return not any(fnmatchcase(partition, each) for each in others)


def test_the_api_may_erase_a_conversation_that_stored_a_memory() -> None:
    erasing = Erasing("c")
    assert erasing.rights.erase("c", tenant="default")
    assert erasing.shelf.points == {}
    assert any(partition.startswith("collection#") for _, partition in erasing.items.calls)
    assert erasing.refused("api") == set()


def test_the_keeper_may_finish_what_was_cut_off() -> None:
    erasing = Erasing("c")
    erasing.shelf.stuck = frozenset({"c"})
    with pytest.raises(ConnectionError):
        erasing.rights.erase("c", tenant="default")
    erasing.shelf.stuck = frozenset()
    erasing.items.calls.clear()
    erasing.troupe.clock.advance(SETTLES.total_seconds())
    assert erasing.rights.unfinished() == 1
    assert erasing.shelf.points == {}
    assert erasing.refused("keeper") == set()


def test_an_erasure_that_cannot_be_finished_keeps_no_other_one_waiting() -> None:
    erasing = Erasing("a", "b", "c")
    erasing.shelf.stuck = frozenset("abc")
    for name in "abc":
        with pytest.raises(ConnectionError):
            erasing.rights.erase(name, tenant="default")
    erasing.shelf.stuck = frozenset("a")
    erasing.troupe.clock.advance(SETTLES.total_seconds())
    with pytest.raises(ConnectionError, match="away"):
        erasing.rights.unfinished()
    assert [passage for _, passage in erasing.shelf.points] == ["a"]
