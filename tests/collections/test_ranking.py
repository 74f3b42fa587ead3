import pytest

from functions.collections.ranking import (
    Candidate,
    question_to_encode,
    ranked,
    related_words,
    text_to_encode,
    words_of_passage,
    words_of_question,
)
from functions.events.common import Passage


def passage(name: str = "name", text: str = "text", *, source: str = "guide.md", id_: str = "1") -> Passage:
    return Passage(id=id_, name=name, source=source, text=text)


def score(candidate: Candidate, question: str = "") -> float:
    return ranked(question, [candidate], 1)[0].score


@pytest.mark.parametrize(
    ("cosine", "bm25", "expected"),
    [(1.0, 0.0, 0.8), (0.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.5, 15.0, 0.5), (1.0, 1e9, 1.0)],
)
def test_a_score_is_four_fifths_meaning_and_one_fifth_words(cosine: float, bm25: float, expected: float) -> None:
    assert score(Candidate(passage(), cosine, bm25)) == pytest.approx(expected, abs=1e-6)


def test_what_fits_better_comes_first() -> None:
    candidates = [
        Candidate(passage(id_="poor"), 0.1, 0.0),
        Candidate(passage(id_="good"), 0.7, 20.0),
        Candidate(passage(id_="fair"), 0.4, 3.0),
    ]
    found = ranked("", candidates, 2)
    assert [each.id for each in found] == ["good", "fair"]
    assert found[0].score == pytest.approx(0.8 * 0.7 + 0.2 * 20 / 35)


def test_equal_scores_keep_one_order() -> None:
    candidates = [Candidate(passage(id_=each), 0.5, 1.0) for each in "cab"]
    assert [each.id for each in ranked("", candidates, 3)] == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("name", "question", "bonus"),
    [
        ("asyncio.wait_for", "what does asyncio.wait_for do?", 0.1),
        ("asyncio.wait_for", "wait_for with a timeout", 0.1),
        ("pathlib.Path.exists", "Path.exists", 0.1),
        ("json.JSONDecodeError", "json.decoder.JSONDecodeError: Expecting value", 0.05),
        ("asyncio.wait", "what does asyncio.wait_for do?", 0.0),
        ("list.copy", "how do I copy a list", 0.0),
        ("os.path.join", "str.join", 0.0),
    ],
)
def test_a_passage_that_the_question_names_gets_more(name: str, question: str, bonus: float) -> None:
    assert score(Candidate(passage(name), 0.5, 0.0), question) == pytest.approx(0.4 + bonus)


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_finds_nothing(limit: int) -> None:
    assert ranked("", [Candidate(passage(), 0.5, 1.0)], limit) == []


@pytest.mark.parametrize(
    ("name", "source", "member"),
    [
        ("collections.Counter", "python:collections", False),
        ("collections.Counter.most_common", "python:collections", True),
        ("str.strip", "python:builtins", True),
        ("os.path", "python:os.path", False),
        ("os.path.join", "python:os.path", False),
        ("zip", "python:builtins", False),
        ("Version 1.2.3", "notes.md", False),
    ],
)
def test_a_method_stands_behind_a_function_that_fits_as_well(name: str, source: str, member: bool) -> None:  # noqa: FBT001 - a column of the table above
    documented = passage(name, f"{name}(x)\n\nWhat it does.", source=source)
    assert score(Candidate(documented, 0.5, 0.0)) == pytest.approx(0.38 if member else 0.4)


def test_an_attribute_stands_behind_a_method_that_fits_as_well() -> None:
    attribute = passage("ImportError.name", "module name", source="python:builtins")
    method = passage("ImportError.add_note", "ImportError.add_note(note)\n\nAdd one.", source="python:builtins")
    assert score(Candidate(attribute, 0.5, 0.0)) < score(Candidate(method, 0.5, 0.0))


def test_a_signature_is_neither_encoded_nor_indexed() -> None:
    documented = passage("json.loads", "json.loads(s, *, cls=None)\n\nDeserialize a document.")
    assert text_to_encode(documented) == "json.loads: Deserialize a document."
    assert "cls" not in words_of_passage(documented)


def test_of_a_docstring_the_beginning_is_encoded_and_of_prose_all_that_the_encoder_reads() -> None:
    assert len(text_to_encode(passage(text="x" * 5000, source="python:json"))) == 300
    assert len(text_to_encode(passage(text="x" * 5000))) == 1200


def test_a_passage_that_is_a_signature_alone_keeps_it() -> None:
    assert text_to_encode(passage("f", "f(x)")) == "f: f(x)"


def test_the_parts_of_an_identifier_are_words_too() -> None:
    assert words_of_question("asyncio.wait_for").split() == ["asyncio.wait_for", "asyncio", "wait", "for"]
    assert "Rotating File Handler" in words_of_question("what is RotatingFileHandler")
    assert question_to_encode("use HTTPServer.serve_forever") == "use HTTP Server serve forever"


def test_words_that_mean_nearly_the_same_are_related_with_less_weight() -> None:
    related = related_words("a folder")
    assert "directory" in related
    assert all(0 < weight < 1 for weight in related.values())


def test_words_without_neighbours_have_none() -> None:
    assert related_words("xyzzy 12345 ???") == {}


@pytest.mark.parametrize("text", ["_" * 1_000_000, "a." * 500_000, "aA" * 500_000, "A" * 1_000_000])
def test_hostile_identifiers_cost_no_more_than_their_beginning(text: str) -> None:
    hostile = passage(name="n", text=text)
    assert len(words_of_passage(hostile)) < 200_000
    assert len(words_of_question(text)) < 20_000
    assert len(text_to_encode(hostile)) <= 2_000
