"""What an evaluation says of two versions, and over what."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from dual_writing import FIRST, OLD, World, id_of, point
from memory_catalog import MemoryCatalog
from memory_store import MemoryStore

from functions.collections.entries import UnknownVersionError
from functions.collections.evaluation import (
    Asked,
    Question,
    QuestionsError,
    Scores,
    evaluate,
    read_questions,
    sampled,
)
from functions.collections.lifecycle import create
from functions.collections.pinned import PinnedCatalog
from functions.errors import TroupeError
from functions.events.common import Passage
from functions.ports.vector_stores import EVERYTHING, Filter, Layout, Point, Range


class Answers:
    """A collection that answers from a list, and can do nothing else."""

    def __init__(self, answers: Mapping[str, str]) -> None:
        self._answers = answers

    def search_each(self, texts: Sequence[str], *, limit: int, tenant: str) -> Sequence[Sequence[Passage]]:
        assert tenant == "t"
        return [
            [Passage(id=each, name="", source=f"{each}.md", text="") for each in self._answers.get(text, "")][:limit]
            for text in texts
        ]


def test_recall_and_rank_are_means_over_the_questions() -> None:
    questions = [
        Question(question="one", ids=("a", "b")),
        Question(question="two", sources=("c.md",)),
    ]
    old, new = Answers({"one": "xa", "two": "c"}), Answers({"one": "ab", "two": "xyzc"})
    found = evaluate(old, new, questions=questions, samples=(), k=3, tenant="t")  # type: ignore[arg-type]
    assert (found.k, found.questions, found.samples, found.overlap) == (3, 2, 0, None)
    assert found.old == Scores(recall=0.75, mrr=0.75)
    assert found.new == Scores(recall=0.5, mrr=0.5)


def test_the_overlap_leaves_out_the_text_that_was_asked() -> None:
    """Both versions find it first, which says nothing."""
    samples = [Asked(text="one", itself="a"), Asked(text="two", itself="b"), Asked(text="nothing", itself="c")]
    old, new = Answers({"one": "axy", "two": "bxyz"}), Answers({"one": "xaz", "two": "bxyz"})
    found = evaluate(old, new, questions=(), samples=samples, k=2, tenant="t")  # type: ignore[arg-type]
    assert (found.old, found.new, found.samples) == (None, None, 2)
    assert found.overlap == 0.75


def test_every_line_of_a_question_set_that_is_wrong_is_named() -> None:
    lines = ['{"question": "a", "ids": ["1"]}', "", '{"question": "b"}', "no json", '{"question": "c", "id": "1"}']
    with pytest.raises(QuestionsError, match=r"line 3: expected .* ids or sources.*line 4: .*line 5: .*`id`"):
        read_questions("\n".join(lines))
    with pytest.raises(QuestionsError, match="there are none"):
        read_questions("\n")
    assert read_questions(lines[0]) == [Question(question="a", ids=("1",))]


def test_the_same_seed_chooses_the_same_points_each_once() -> None:
    world = World(50)
    first, again, other = (
        [fields["text"] for fields in sampled(world.store, FIRST, EVERYTHING, 10, seed)] for seed in (1, 1, 2)
    )
    assert first == again != other
    assert len(set(first)) == 10


def test_a_sample_of_more_than_there_are_is_all_of_them() -> None:
    world = World(5)
    world.store.upsert(FIRST, [point(9, "gone", OLD, expires_at=1.0)])
    living = Filter(must_not=(Range("expires_at", at_most=2.0),))
    assert id_of(9) in {each.id for each in world.store.scroll(FIRST)}
    assert len(sampled(world.store, FIRST, living, 100, 0)) == 5


@pytest.mark.parametrize("number", [1, 10, 299, 300])
def test_a_sample_costs_no_more_calls_than_its_size_however_much_there_is(number: int) -> None:
    world = World(300)
    pages = list[int]()

    class Counted(MemoryStore):
        def scroll(self, layout: Layout, *arguments: Any, **named: Any) -> Sequence[Point]:
            pages.append(1)
            return world.store.scroll(layout, *arguments, **named)

    for seed in range(20):
        pages.clear()
        found = sampled(Counted(), FIRST, EVERYTHING, number, seed)
        assert len({fields["text"] for fields in found}) == len(found) == number
        assert len(pages) <= 5


def test_over_many_seeds_every_point_is_chosen() -> None:
    world = World(60)
    chosen = {str(fields["text"]) for seed in range(200) for fields in sampled(world.store, FIRST, EVERYTHING, 5, seed)}
    assert len(chosen) == 60


def test_a_pinned_catalog_shows_one_version_as_the_current_one_and_changes_nothing() -> None:
    catalog = MemoryCatalog()
    entry = create(catalog, "documents", OLD, ttl_s=None, now=datetime(2026, 1, 1, tzinfo=UTC))
    pinned = PinnedCatalog(catalog, "documents", 1)
    assert pinned.read("documents") == entry
    assert pinned.entries() == [entry]
    with pytest.raises(TroupeError, match="only looked at"):
        pinned.write(entry)
    with pytest.raises(UnknownVersionError):
        PinnedCatalog(catalog, "documents", 2).read("documents")
