import pytest
from agent_fakes import passage
from research_fakes import HEAP, LIST, collected

from functions.agents.citation import MAX_CHARACTERS, citation
from functions.events.common import Passage, Work


def line(given: Passage) -> str:
    [reference] = citation(collected((given, 0))).references
    assert reference.passage == given.id
    return reference.line


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (passage(), "list.sort. python:builtins"),
        (
            passage(work=Work(title="builtins: Built-in things", version="CPython 3.12.1")),
            "list.sort. In: builtins: Built-in things. CPython 3.12.1. python:builtins",
        ),
        (passage(name="heapq", work=Work(title="heapq: Heaps")), "heapq: Heaps. python:builtins"),
        (
            passage(
                name="Guide > Install",
                source="guide.md",
                work=Work(title="Guide", authors=("Ada Byron", "Bo Li"), published="2024-05-01", modified="2025-01-01"),
            ),
            "Ada Byron, Bo Li. Install. In: Guide. 2024-05-01. guide.md",
        ),
        (
            passage(name="Guide", source="g.md", work=Work(title="Guide", modified="2025-01-01")),
            "Guide. changed 2025-01-01. g.md",
        ),
        (
            passage(name="notes.txt", source="notes.txt", work=Work(modified="2025-01-01")),
            "notes.txt. changed 2025-01-01",
        ),
        (
            passage(name="A", work=Work(title="A", authors=("B", "C", "D", "E"), location="https://example.org/a")),
            "B et al. A. https://example.org/a",
        ),
    ],
)
def test_a_reference_has_what_the_work_says_of_itself_in_the_order_of_a_bibliography(
    given: Passage, expected: str
) -> None:
    assert line(given) == expected


def test_a_reference_is_one_line_of_bounded_length() -> None:
    found = line(passage(name="a\n\n b", work=Work(title="t" * 10_000)))
    assert "\n" not in found
    assert len(found) < 2 * MAX_CHARACTERS


def test_every_passage_is_cited_and_no_text_goes_on() -> None:
    event = citation(collected((LIST, 0), (HEAP, 1)))
    assert [each.passage for each in event.references] == ["p1", "p2"]
    assert {each.passage.text for each in event.collected.findings} == {""}


def test_nothing_collected_is_nothing_cited() -> None:
    assert citation(collected()).references == ()
