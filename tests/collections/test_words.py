import pytest
import qdrant_edge

from functions.collections.ranking import words_of_passage
from functions.collections.words import shared_words, terms_of_passage, terms_of_question
from functions.events.common import Passage


def passage(text: str, name: str = "guide") -> Passage:
    return Passage(id="p", name=name, source="guide.md", text=text)


def weights(text: str) -> dict[int, float]:
    terms = terms_of_passage(passage(text))
    return dict(zip(terms.indices, terms.weights, strict=True))


@pytest.mark.parametrize(
    "text",
    ["Heaps are heaps of HEAPS.", "isn't foo_bar() wait_for x1.2 C++", "naïve Straße 漢字", "?!", "word " * 1_000],
)
def test_points_that_edge_made_the_words_of_are_found_by_these(text: str) -> None:
    edge = qdrant_edge.Bm25(qdrant_edge.Bm25Config(b=0.5, avg_len=50.0))
    theirs = edge.embed_document(words_of_passage(passage(text)))
    assert weights(text) == pytest.approx(dict(zip(theirs.indices, theirs.values, strict=True)), rel=1e-5)


def test_a_word_in_another_form_is_the_same_and_a_stop_word_is_none() -> None:
    assert weights("sorting the lists").keys() == weights("SORTED list").keys()


def test_a_word_said_again_weighs_more_and_a_longer_text_less() -> None:
    heap, *_ = terms_of_question("heap").indices
    assert weights("heap " + "sentence " * 50)[heap] < weights("heap")[heap] < weights("heap heap")[heap]


def test_a_question_looks_for_related_words_with_less_weight() -> None:
    terms = terms_of_question("a folder")
    by_number = dict(zip(terms.indices, terms.weights, strict=True))
    (folder,) = terms_of_question("folder xyzzy").indices[:1]
    assert by_number[folder] == 1.0
    assert sum(weight < 1 for weight in by_number.values()) >= 1
    assert len(set(terms.indices)) == len(terms.indices)


def test_a_rare_word_that_is_shared_counts_more_than_a_usual_one() -> None:
    found = [terms_of_passage(passage(text)) for text in ("usual rare", "usual", "usual", "nothing")]
    both, usual, _, nothing = shared_words(terms_of_question("usual rare"), found)
    assert both > 2 * usual > 0
    assert nothing == 0.0


def test_every_number_fits_a_store() -> None:
    numbers = terms_of_passage(passage(" ".join(f"w{number}" for number in range(3_000)))).indices
    assert len(set(numbers)) == len(numbers)
    assert all(0 <= number < 2**32 for number in numbers)
