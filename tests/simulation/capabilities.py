"""What agents are handed in a simulation: the target's own where it has them, small ones in memory elsewhere."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Protocol

import msgspec
from harness import Clock
from simulation.observed import Point, with_points
from simulation.scenarios import Scenario

from functions.adapters.models.bound import BoundModel, Call
from functions.adapters.models.prices import Price
from functions.events.common import Passage, Work
from functions.events.ingest import DocumentOutcome, SentDocument
from functions.ports.conversations import Append, History
from functions.ports.documents import Ingest
from functions.ports.models import LanguageModel
from functions.ports.spending import Spending
from functions.runtime.agent import Grant
from functions.runtime.delivery import Binding
from functions.runtime.text import overlap, words

SHELF = tuple(
    Passage(
        id=name,
        name=name,
        source=f"python:{name}",
        text=f"Overview of what {name} compresses. It is one of {number} modules.",
        work=Work(title=f"{name}: Compression", authors=("Ada Byron",)),
    )
    for number, name in enumerate(("gzip", "bz2", "lzma"), 3)
)


class Talks(Protocol):
    """What a world has itself."""

    clock: Clock

    def talk(self, grant: Grant, binding: Binding) -> object:
        """`Append` or `History`."""

    def spending(self, binding: Binding) -> Spending:
        """The ledger of a request."""


class Capabilities:
    """Binds capabilities, each with a point before and after every call.

    Attributes:
        world: Set once it is there.
    """

    def __init__(self, scenario: Scenario, point: Point) -> None:
        self.world: Talks | None = None
        self._scenario = scenario
        self._point = point
        self._memories: dict[str, dict[str, Passage]] = defaultdict(dict)

    def bind(self, grant: Grant, binding: Binding) -> object:
        """See `Ports.bind`."""
        made = self._made(grant, binding)
        return None if made is None else with_points(made, grant.capability.__name__, self._point)

    def _made(self, grant: Grant, binding: Binding) -> object:
        assert self.world is not None
        if grant.capability in (Append, History):
            return self.world.talk(grant, binding)
        if grant.capability is Ingest:
            return Reader()
        if grant.capability is LanguageModel:
            return self._model(binding) if self._scenario.spends else None
        stored = self._memories[binding.conversation] if grant.resource == "memories" else {p.id: p for p in SHELF}
        return Shelf(stored)

    def _model(self, binding: Binding) -> BoundModel:
        assert self.world is not None
        return BoundModel(
            SpendingChat(self._point),
            spending=self.world.spending(binding),
            growing=Unseen(),
            budget=binding.budget,
            until=binding.until,
            now=self.world.clock,
        )


class Shelf:
    """A collection."""

    def __init__(self, stored: dict[str, Passage]) -> None:
        self._stored = stored

    def find(self, text: str, *, limit: int = 5) -> Sequence[Passage]:
        scored = [
            msgspec.structs.replace(each, score=overlap(words(text), words(f"{each.name} {each.text}")))
            for each in self._stored.values()
        ]
        return sorted((each for each in scored if each.score), key=lambda each: (-each.score, each.id))[:limit]

    def read(self, ids: Iterable[str]) -> Sequence[Passage]:
        return [self._stored[each] for each in ids if each in self._stored]

    def upsert(self, passages: Sequence[Passage]) -> None:
        self._stored.update({passage.id: passage for passage in passages})


class Reader:
    """Reads documents, all of them alike."""

    def ingest(self, documents: Sequence[SentDocument]) -> Sequence[DocumentOutcome]:
        return [DocumentOutcome(name=document.name, passages=1, written=1) for document in documents]


class SpendingChat:
    """A model that always writes as much as it may."""

    model = "spender"
    price = Price(read=1, written=1)

    def __init__(self, point: Point) -> None:
        self._point = point

    def complete(self, call: Call) -> str:
        self._point("while the model writes")
        call.book(0, call.max_tokens)
        return "said"


class Unseen:
    """Nobody watches the text grow."""

    def grow(self, text: str) -> None:
        del text

    def end(self) -> None:
        pass
