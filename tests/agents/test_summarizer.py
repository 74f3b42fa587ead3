from agent_fakes import complete, evidence, passage

from functions.agents.summarizer import MAX_OF_ONE_PASSAGE, MAX_SENTENCES, summarizer


def texts(*kept: object, **given: object) -> list[str]:
    return [each.text for each in summarizer(complete(*kept, **given)).sentences]


def test_the_best_passage_comes_first_and_its_sentences_as_they_are_written() -> None:
    first, second = passage("", id="a", score=0.9), passage("", id="b", score=0.7)
    assert texts(
        evidence("Heaps are fast.", passage=second, position=0, relevance=0.9),
        evidence("Then trees grow.", passage=first, position=4, relevance=0.8),
        evidence("Lists are sorted.", passage=first, position=1, relevance=0.75),
    ) == ["Lists are sorted.", "Then trees grow.", "Heaps are fast."]


def test_what_is_said_already_is_not_repeated() -> None:
    assert texts(
        evidence("Lists are sorted in place.", relevance=0.9),
        evidence("In place, lists are sorted.", passage=passage("", id="b"), relevance=0.85),
        evidence("Tuples are not.", position=2, relevance=0.8),
    ) == ["Lists are sorted in place.", "Tuples are not."]


def test_a_word_that_only_repeats_the_name_of_its_passage_says_nothing() -> None:
    named = passage("", name="json.scanner.parse_int")
    assert texts(evidence("parse_int", passage=named), evidence("Parse it fast.", passage=named, position=1)) == [
        "Parse it fast."
    ]


def test_an_answer_is_no_longer_than_its_bounds() -> None:
    kept = [
        evidence(f"word{number}{place} alone.", passage=passage("", id=f"p{number}"), position=place)
        for number in range(8)
        for place in range(5)
    ]
    chosen = summarizer(complete(*kept)).sentences
    assert len(chosen) == MAX_SENTENCES
    counts = [sum(each.passage.id == other.passage.id for other in chosen) for each in chosen]
    assert max(counts) <= MAX_OF_ONE_PASSAGE


def test_what_is_much_less_relevant_than_the_best_is_left_out() -> None:
    assert texts(
        evidence("Lists are sorted.", relevance=0.8),
        evidence("Heaps are near.", position=1, relevance=0.61),
        evidence("Pancakes are far.", position=2, relevance=0.59),
    ) == ["Lists are sorted.", "Heaps are near."]


def test_where_the_evidence_is_insufficient_nothing_is_said() -> None:
    weak = complete(evidence(), sufficient=False)
    assert summarizer(weak).sentences == ()
    assert summarizer(weak).complete == weak, "the nearest sources still go on"


def test_no_evidence_is_no_sentence() -> None:
    assert texts(sufficient=True) == []
