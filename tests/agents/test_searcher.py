from collections.abc import Sequence

import msgspec
import pytest
from agent_fakes import Shelf, passage
from research_fakes import planned

from functions.agents.searcher import PASSAGES, searcher
from functions.events.common import MAX_PASSAGE_CHARACTERS, Passage
from functions.events.research import Subquestion


def test_documents_and_memories_are_searched_and_the_best_comes_first() -> None:
    documents, memories = Shelf(passage(id="d", score=0.5)), Shelf(passage(id="m", score=0.9))
    found = searcher(planned(1), documents=documents, memories=memories)
    assert [each.id for each in found.passages] == ["m", "d"]
    assert documents.asked == memories.asked == [("overview of heaps", PASSAGES)]
    assert found.planned == planned(1)


class Scored(Shelf):
    """Scores by the query: only `b` fits."""

    def find(self, text: str, *, limit: int = 5) -> Sequence[Passage]:
        return [
            msgspec.structs.replace(each, score=0.7 if text == "b" else 0.2) for each in super().find(text, limit=limit)
        ]


@pytest.mark.parametrize("queries", [("a", "b"), ("b", "a")])
def test_a_passage_that_two_queries_find_is_there_once_with_its_best_score(queries: tuple[str, ...]) -> None:
    asked = planned(0, Subquestion(heading="h", queries=queries))
    found = searcher(asked, documents=Scored(passage()), memories=Shelf())
    assert [each.score for each in found.passages] == [0.7]


def test_a_long_passage_is_cut() -> None:
    found = searcher(planned(), documents=Shelf(passage("x" * 10_000)), memories=Shelf())
    assert len(found.passages[0].text) == MAX_PASSAGE_CHARACTERS
