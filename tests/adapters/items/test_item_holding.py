"""What conversations store over items is recorded before it is stored, and is not there after an erasure."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import pytest
from harness import START, Clock
from memory_collection import MemoryCollection
from memory_items import MemoryItems
from stacks import ItemStack

from functions.adapters.items import keys
from functions.adapters.items.holding import Held, ItemUpsert, held_by
from functions.adapters.vectors.bound import TenantUpsert, Time
from functions.errors import PermanentError
from functions.events.common import Passage
from functions.events.envelope import digest
from functions.ports.items import MOST_BYTES
from functions.ports.personal import TOKEN, Tokenizer
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Budget

FACT = Passage(id="p1", name="f", source="s", text="a fact")


class Letters:
    """A tokenizer for which capitals are personal data."""

    def tokenized(self, texts: Sequence[str], *, tenant: str, keep: bool) -> Sequence[str]:
        del tenant
        assert not keep, "originals go to the vault with the point"
        return [text.replace("ANNA", "[ID-mzxw6ytboi4dkmrq]") for text in texts]


class Memories:
    """A collection, and what conversations hold of it."""

    def __init__(self, step: Callable[[str], None] = lambda _step: None) -> None:
        self.items = MemoryItems(step)
        self.cloud = ItemStack(self.items, Clock())
        self.collection = MemoryCollection()
        for conversation in ("c1", "c2"):
            self.cloud.accept(f"r of {conversation}", conversation)

    def upsert(self, *passages: Passage, conversation: str = "c1", tokenizer: Tokenizer | None = None) -> None:
        clock = self.cloud.clock
        binding = Binding(
            tenant="t",
            conversation=conversation,
            request=f"r of {conversation}",
            key="k",
            origin="k",
            agent="work",
            attempt=1,
            until=clock() + timedelta(seconds=30),
            budget=Budget(),
        )
        stores = TenantUpsert(self.collection, "t", Time(binding.until, clock))
        upsert = ItemUpsert(
            self.items, stores, collection=self.collection, binding=binding, now=clock, tokenizer=tokenizer
        )
        upsert.upsert(passages)

    def holders(self, passage: str = "p1") -> list[str]:
        return [item.key for item in self.items.query(keys.holders("t", self.collection.key, passage))]

    def erase(self, conversation: str = "c1") -> None:
        self.cloud.erase(f"r of {conversation}")


def test_what_a_conversation_stores_is_recorded_and_marked() -> None:
    memories = Memories()
    other = Passage(id="p#2", name="g", source="s", text="b", labels=("team=billing",))
    memories.upsert(FACT, other)
    memories.upsert(FACT, conversation="c2")
    held = held_by(memories.items, "t", "c1")
    assert sorted(held, key=lambda each: each.id) == [
        Held(collection="in_memory", id=each.id, at=START, passage=each) for each in (other, FACT)
    ]
    assert memories.holders("p1") == ["c1", "c2"]
    assert memories.holders("p#2") == ["c1"]
    assert held_by(memories.items, "another", "c1") == []
    assert memories.collection.count(tenant="t") == 2


def test_a_passage_that_is_stored_again_is_recorded_as_it_is_now() -> None:
    memories = Memories()
    again = Passage(id="p1", name="f", source="s", text="another fact")
    for passage in (FACT, FACT, again):
        memories.upsert(passage)
    assert [each.passage for each in held_by(memories.items, "t", "c1")] == [again]
    assert memories.holders() == ["c1"]


def test_personal_data_is_recorded_as_tokens_and_each_is_marked() -> None:
    memories = Memories()
    memories.upsert(Passage(id="p1", name="ANNA", source="s", text="a", labels=("who=ANNA",)), tokenizer=Letters())
    (held,) = held_by(memories.items, "t", "c1")
    (token,) = held.tokens
    assert TOKEN.fullmatch(token)
    assert (held.passage.name, held.passage.labels) == (token, (f"who={token}",))
    assert [item.key for item in memories.items.query(keys.token_holders("t", token))] == ["c1"]


class GivenUpError(Exception):
    """The process dies here."""


@pytest.mark.parametrize("step", ["before put holds", "after put holds", "before put c1", "after put c1"])
def test_nothing_is_stored_before_it_is_recorded(step: str) -> None:
    """A process that dies at any write has stored nothing that an erasure would not find."""

    def die(now: str) -> None:
        if now == step:
            raise GivenUpError

    memories = Memories(die)
    with pytest.raises(GivenUpError):
        memories.upsert(FACT)
    assert memories.collection.points == {}


def test_what_was_erased_before_stores_and_records_nothing() -> None:
    memories = Memories()
    memories.erase()
    memories.upsert(FACT)
    assert memories.collection.points == {}
    assert held_by(memories.items, "t", "c1") == []
    assert memories.holders() == []


@pytest.mark.parametrize("step", ["before put holds", "after put holds", "before put c1", "after put c1"])
def test_what_is_erased_while_it_is_stored_is_gone_afterwards(step: str) -> None:
    memories = Memories(lambda now: memories.erase() if now == step else None)
    memories.upsert(FACT)
    assert memories.collection.points == {}
    assert held_by(memories.items, "t", "c1") == []
    assert memories.holders() == []


def test_what_is_erased_while_it_is_stored_stays_where_another_conversation_holds_it() -> None:
    memories = Memories()
    memories.upsert(FACT, conversation="c2")
    upsert = memories.collection.upsert

    def erased_meanwhile(passages: Sequence[Passage], *, tenant: str, ttl_s: float | None = None) -> None:
        upsert(passages, tenant=tenant, ttl_s=ttl_s)
        memories.erase("c1")

    memories.collection.upsert = erased_meanwhile  # type: ignore[method-assign]
    memories.upsert(FACT, Passage(id="p2", name="", source="s", text="b"))
    assert set(memories.collection.points) == {("t", "p1")}
    assert memories.holders() == ["c2"]


def test_a_passage_that_fits_into_no_item_is_refused_before_anything_is_stored() -> None:
    memories = Memories()
    noise = "".join(digest(number) for number in range(MOST_BYTES // 12))
    with pytest.raises(PermanentError, match="split it into several") as raised:
        memories.upsert(FACT, Passage(id="p2", name="", source="s", text=noise))
    assert raised.value.reason == "passage too large"
    assert memories.collection.points == {}
    assert held_by(memories.items, "t", "c1") == []
