"""An erasure at any moment of a write: what was being written is not there afterwards."""

from collections.abc import Callable, Iterable
from datetime import timedelta

import pytest
from harness import START
from memory_collection import MemoryCollection
from memory_items import MemoryItems
from memory_target import MemoryTarget
from sample_workflows import SINGLE, Asked

from functions.adapters.items import keys
from functions.adapters.items.effects import ItemEffects
from functions.adapters.items.holding import ItemUpsert
from functions.adapters.items.requests import Erasing, erasing_in, write_erasing
from functions.adapters.vectors.bound import TenantUpsert, Time
from functions.errors import PermanentError
from functions.events.common import Passage
from functions.events.envelope import digest
from functions.ports.effects import Effect, Sent
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Budget

PRIVATE = "what nobody may find"
Write = Callable[["World"], None]


class World:
    """A request at work, its conversation's memories, and somebody who erases the conversation at some step."""

    def __init__(self, erased_at: int | None = None) -> None:
        self.steps: list[str] = []
        self._erased_at = erased_at
        self._is_armed = False
        self.target = MemoryTarget(SINGLE, step=self._step)
        self.memories = MemoryCollection()
        self.target.start(Asked())
        self.rights = self.target.rights(self)
        self._is_armed = True

    def erase(self, collection: str, ids: Iterable[str], *, tenant: str) -> None:
        """The points of the stack's collections."""
        assert collection == self.memories.key
        self.memories.erase(ids, tenant=tenant)

    def at_rest(self) -> str:
        return repr((self.target.items.partitions, self.target.blobs.stored, self.memories.points))

    def _step(self, step: str) -> None:
        if not self._is_armed:
            return
        if self._erased_at == len(self.steps):
            self._is_armed = False
            assert self.rights.erase("c1", tenant="default") is not None
            self._is_armed = True
        self.steps.append(step)


def store(world: World) -> None:
    clock = world.target.clock
    binding = Binding(
        tenant="default",
        conversation="c1",
        request="r1",
        key="k",
        origin="k",
        agent="work",
        attempt=1,
        until=clock() + timedelta(seconds=30),
        budget=Budget(),
    )
    upsert = ItemUpsert(
        world.target.items,
        TenantUpsert(world.memories, "default", Time(binding.until, clock)),
        collection=world.memories,
        binding=binding,
        now=clock,
    )
    upsert.upsert([Passage(id=each, name="", source="s", text=PRIVATE) for each in ("p1", "p2")])


def begin(world: World) -> None:
    effect = Effect(
        key="k1",
        request="r1",
        conversation="c1",
        action="notify",
        status="sending",
        sent=Sent(method="POST", url="https://example.com", body=PRIVATE),
        at=world.target.clock(),
    )
    effects = ItemEffects(world.target.items, world.target.clock, tenant="default")
    try:
        effects.begin(effect, key_lasts_s=60)
    except PermanentError:  # it was erased
        return
    effects.end("k1", "done")


@pytest.mark.parametrize("write", [store, begin])
def test_what_is_erased_at_any_step_of_a_write_is_not_there_afterwards(write: Write) -> None:
    calm = World()
    write(calm)
    assert PRIVATE in calm.at_rest()
    assert len(calm.steps) >= 4
    for step in range(len(calm.steps)):
        world = World(erased_at=step)
        write(world)
        assert PRIVATE not in world.at_rest(), calm.steps[step]
        assert world.memories.points == {}


@pytest.mark.parametrize("write", [store, begin])
def test_what_is_erased_after_a_write_is_not_there(write: Write) -> None:
    world = World()
    write(world)
    assert world.rights.erase("c1", tenant="default") is not None
    assert PRIVATE not in world.at_rest()


def test_an_erasure_of_seventeen_thousand_requests_is_written_down() -> None:
    items = MemoryItems()
    requests = tuple(digest(number) for number in range(17_000))
    erasing = Erasing(tenant="t", conversation="c1", at=START, requests=requests, workflows=("single",))
    assert write_erasing(items, erasing, 0)
    assert [erasing_in(item) for item in items.query(*keys.erasing("t", "c1"))] == [erasing]
