from agent_fakes import Shelf, passage

from functions.agents.retriever import PASSAGES, retriever
from functions.events.answer import PlanCreated, QuestionAsked
from functions.events.common import MAX_PASSAGE_CHARACTERS

PLAN = PlanCreated(asked=QuestionAsked(question="How are lists sorted?"), query="lists sorted")


def test_documents_and_memories_are_merged_by_score() -> None:
    documents = Shelf(passage(id="a", score=0.9), passage(id="b", score=0.3))
    memories = Shelf(passage(id="m", score=0.5))
    found = retriever(PLAN, documents=documents, memories=memories)
    assert [each.id for each in found.passages] == ["a", "m", "b"]
    assert (found.asked, found.query) == (PLAN.asked, "lists sorted")
    assert documents.asked == memories.asked == [("lists sorted", PASSAGES)]


def test_only_the_best_passages_go_on() -> None:
    documents = Shelf(*(passage(id=f"d{number}", score=number / 10) for number in range(8)))
    memories = Shelf(*(passage(id=f"m{number}", score=number / 10 + 0.05) for number in range(8)))
    found = retriever(PLAN, documents=documents, memories=memories)
    assert [each.id for each in found.passages] == ["m7", "d7", "m6", "d6", "m5"]


def test_of_equal_scores_documents_come_first_in_the_order_found() -> None:
    found = retriever(PLAN, documents=Shelf(passage(id="a"), passage(id="b")), memories=Shelf(passage(id="m")))
    assert [each.id for each in found.passages] == ["a", "b", "m"]


def test_a_very_long_passage_is_cut() -> None:
    found = retriever(PLAN, documents=Shelf(passage("x" * 100_000)), memories=Shelf())
    assert len(found.passages[0].text) == MAX_PASSAGE_CHARACTERS


def test_finding_nothing_is_a_result() -> None:
    assert retriever(PLAN, documents=Shelf(), memories=Shelf()).passages == ()
