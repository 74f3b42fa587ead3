"""What counts as said by a source, where a model put it in its own words."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.runtime.grounding import PARAPHRASED, Claim, claims, grounded

PAIRS = [
    json.loads(line) for line in (Path(__file__).parents[1] / "data" / "paraphrases.jsonl").read_text().splitlines()
]
SORT = "list.sort: Sort the list in ascending order, and return None after the last item."


def measured(pair: dict[str, object]) -> float:
    return grounded(str(pair["claim"]), [str(cited) for cited in pair["cited"]])  # type: ignore[attr-defined]


def test_no_sentence_that_its_citation_does_not_say_is_kept() -> None:
    assert [pair["claim"] for pair in PAIRS if not pair["said"] and measured(pair) >= PARAPHRASED] == []


def test_nearly_every_sentence_that_its_citation_says_is_kept() -> None:
    said = [pair for pair in PAIRS if pair["said"]]
    kept = [pair for pair in said if measured(pair) >= PARAPHRASED]
    assert len(kept) >= 0.9 * len(said)


@pytest.mark.parametrize(
    "claim",
    [
        "Sort the list in descending order, and return None after the last item.",
        "Sort the list in ascending order, and return None before the last item.",
        "Sort the list in ascending order, and return None after the first item.",
        "Do not sort the list in ascending order, and return None after the last item.",
        "Sort the list in ascending order, and return 0 after the last item.",
        "Sort the list in ascending order with list.fastsort, and return None after the last item.",
        "Sort the list in ascending order, and raise ValueError, and return None after the last item.",
        "Sort the list in ascending order, and return `key` None after the last item.",
    ],
)
def test_a_word_that_turns_a_sentence_leaves_it_without_support(claim: str) -> None:
    assert grounded("Sort the list in ascending order, and return None after the last item.", [SORT]) == 1
    assert grounded(claim, [SORT]) == 0


def test_a_sentence_may_put_together_what_several_sources_say() -> None:
    cited = ["Office: The office opens at nine.", "Office: Bring a badge of this year."]
    claim = "The office opens at nine, and a badge of this year is to be brought."
    assert grounded(claim, cited) >= PARAPHRASED
    assert all(grounded(claim, [one]) < grounded(claim, cited) for one in cited)


def test_an_abbreviation_is_no_name() -> None:
    claim = "Sort the list, i.e. its items, in ascending order, e.g. by key."
    assert grounded(claim, ["Sort the list and its items in ascending order by key."]) == 1


def test_what_cites_nothing_has_no_support() -> None:
    assert grounded("Sort the list.", []) == 0


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("Lists are sorted [2]. They stay so. [1]", [("Lists are sorted.", (2,)), ("They stay so.", (1,))]),
        ("Lists are sorted.[1][2] Sets are not [3, 4].", [("Lists are sorted.", (1, 2)), ("Sets are not.", (3, 4))]),
        ("It is so [1-3].", [("It is so.", (1, 2, 3))]),
        ("It is so [1\u20132, 5].", [("It is so.", (1, 2, 5))]),
        ("It is so\u30101\u3011.", [("It is so.", (1,))]),
        ("It is so [1] and so [1].", [("It is so and so.", (1,))]),
        ("- One is here. [1]\n- Two is there. [2]", [("One is here.", (1,)), ("Two is there.", (2,))]),
        ("One is here.\n[2] Two is there.", [("One is here.", ()), ("Two is there.", (2,))]),
        ("**Lists** are sorted [1].", [("Lists are sorted.", (1,))]),
        ("It is so[1].", [("It is so.", (1,))]),
        ("It uses x[0], row[2][3] of it and y[key] [1].", [("It uses x[0], row[2][3] of it and y[key].", (1,))]),
        ("Nothing is cited.", [("Nothing is cited.", ())]),
        ("", []),
    ],
)
def test_the_sentences_of_a_text_are_found_with_what_they_cite(
    written: str, expected: list[tuple[str, tuple[int, ...]]]
) -> None:
    assert list(claims(written)) == [Claim(*each) for each in expected]


def test_a_range_that_never_ends_is_cut() -> None:
    (claim,) = claims("It is so [1-999].")
    assert len(claim.cited) < 50


@given(st.text(max_size=200), st.lists(st.text(max_size=100), max_size=4))
def test_any_text_can_be_taken_apart_and_measured(written: str, cited: list[str]) -> None:
    for claim in claims(written):
        assert 0 <= grounded(claim.text, cited) <= 1
