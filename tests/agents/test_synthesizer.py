import pytest
from agent_fakes import passage
from research_fakes import HEAP, LIST, Model, collected

from functions.agents.synthesizer import (
    MAX_OF_NAME,
    MAX_OF_SECTION,
    MAX_PROMPT_CHARACTERS,
    MAX_TOLD_CHARACTERS,
    synthesizer,
)
from functions.events.common import Passage
from functions.events.research import DraftWritten, FindingsCollected, Subquestion


def said(event: DraftWritten) -> list[tuple[int, str, str]]:
    return [(each.subquestion, each.passage, each.text) for each in event.statements]


def test_a_draft_has_the_sentences_of_the_sources_by_section() -> None:
    event = synthesizer(collected((HEAP, 1), (LIST, 0)))
    assert said(event) == [
        (0, "p1", "Lists are sorted in place."),
        (1, "p2", "A heap is a binary tree."),
    ]
    assert (event.considered, event.model) == (3, "")
    assert {each.passage.text for each in event.collected.findings} == {""}


def test_a_sentence_is_said_once_in_the_whole_report() -> None:
    again = passage("A heap is a binary tree. Push items onto the heap.", id="p3", name="other", score=0.9)
    event = synthesizer(collected((HEAP, 0), (again, 1)))
    assert [text for _, _, text in said(event)] == ["A heap is a binary tree.", "Push items onto the heap."]


def test_the_findings_keep_their_order_and_a_source_its_own() -> None:
    first = passage("Zebras sort lists first of all. Apes sort lists after them.", id="z", score=0.8)
    second = passage("Bears sort lists by their weight.", id="b", name="bears", score=0.85)
    event = synthesizer(collected((first, 0), (second, 0)))
    assert [id_ for _, id_, _ in said(event)] == ["z", "z", "b"]
    assert said(event)[0][2].startswith("Zebras")


def test_a_passage_is_opened_before_what_it_says_later() -> None:
    text = "This module reads files quickly. Streams are also opened here. Sorting streams is fast too."
    assert said(synthesizer(collected((passage(text), 0))))[0][2] == "This module reads files quickly."


def test_the_words_that_were_asked_for_weigh() -> None:
    plan = (Subquestion(heading="h", queries=("reversed generators",)),)
    sources = passage("One thing is big. Two things are red. Reversed generators are exhausted. Four things end.")
    event = synthesizer(collected((sources, 0), plan=plan, searched=(0,)))
    assert "Reversed generators are exhausted." in [text for _, _, text in said(event)]


def test_a_section_and_a_name_have_a_bounded_share() -> None:
    def several(count: int, name: str) -> list[tuple[Passage, int]]:
        text = " ".join(
            f"{name.upper() * 3}{n * 'X'} tells {name * 4}{n * 'y'} of {name * 5}{n * 'z'}." for n in range(count)
        )
        return [(passage(text, id=name, name=name), 0)]

    assert len(said(synthesizer(collected(*several(9, "a"))))) == MAX_OF_NAME
    many = [each for letter in "abcdefgh" for each in several(3, letter)]
    assert len(said(synthesizer(collected(*many)))) == MAX_OF_SECTION


@pytest.mark.parametrize(
    "text",
    [
        "Thread.",
        "The rules are as follows:",
        "<intro stuff goes here>",
        "_accept() -- accept one new connection",
        "(null) | | HTTPConnection() | | putrequest() done here",
        "word " * 100 + "end.",
    ],
)
def test_what_states_nothing_is_no_statement(text: str) -> None:
    assert said(synthesizer(collected((passage(text), 0)))) == []


def test_nothing_collected_makes_an_empty_draft_and_asks_no_model() -> None:
    model = Model({"sentences": []})
    assert synthesizer(FindingsCollected(), model=model).statements == ()
    assert model.asked == []


WRITTEN = {
    "sentences": [
        {"section": 2, "text": "A heap is a binary tree.", "source": 2},
        {"section": 1, "text": "Lists are sorted\n in place.", "source": 1},
        {"section": 1, "text": "The moon is made of cheese.", "source": 1},
        {"section": 9, "text": "No such section.", "source": 1},
        {"section": 1, "text": "No such source.", "source": 3},
        {"section": 1, "text": "  ", "source": 1},
    ]
}


def test_a_model_writes_where_there_is_one_from_the_sources_that_exist() -> None:
    model = Model(WRITTEN)
    event = synthesizer(collected((LIST, 0), (HEAP, 1)), model=model)
    assert said(event) == [
        (0, "p1", "Lists are sorted in place."),
        (0, "p1", "The moon is made of cheese."),
        (1, "p2", "A heap is a binary tree."),
    ], "who wrote nonsense is found out by the editor"
    assert (event.model, event.model_failures) == ("small", ())
    assert "Section 2: Heaps" in model.asked[0]
    assert "Source 2, for section 2: heapq\nA heap is a binary tree." in model.asked[0]


def test_a_model_is_told_no_more_of_a_long_request_than_it_takes() -> None:
    model = Model(WRITTEN)
    synthesizer(collected((LIST, 0), question="x" * 20_000), model=model)
    assert model.asked[0].count("x") < MAX_TOLD_CHARACTERS + 10


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (Model(failure="refused"), "refused"),
        (Model({"sentences": []}), "unsupported"),
        (Model({"sentences": [{"section": 1, "text": "The moon is cheese.", "source": 1}]}), "unsupported"),
    ],
)
def test_a_model_that_fails_or_makes_everything_up_leaves_the_sentences_of_the_sources(
    model: Model, reason: str
) -> None:
    event = synthesizer(collected((LIST, 0), model_failures=("timeout",)), model=model)
    assert said(event)[0] == (0, "p1", "Lists are sorted in place.")
    assert (event.model, event.model_failures) == ("", ("timeout", reason))


def test_what_a_model_is_given_is_bounded() -> None:
    model = Model(failure="refused")
    huge = [(passage("x" * 4_000, id=f"p{n}"), 0) for n in range(36)]
    synthesizer(collected(*huge), model=model)
    assert len(model.asked[0]) < MAX_PROMPT_CHARACTERS * 1.2
