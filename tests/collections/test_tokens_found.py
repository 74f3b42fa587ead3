"""A token in a passage is found by a question that holds it too, and takes nothing from what else is found."""

from functions.collections.ranking import Candidate, question_to_encode, ranked, text_to_encode
from functions.events.common import Passage

MINE, OTHER = "[EMAIL-mzxw6ytboi4dkmrq]", "[EMAIL-abcdefgh234567ab]"


def passage(text: str) -> Passage:
    return Passage(id=text, name="staff", source="s", text=text)


def test_an_encoder_reads_what_a_token_stands_for_and_never_its_letters() -> None:
    assert text_to_encode(passage(f"Ask {MINE}.")) == "staff: Ask email address."
    assert question_to_encode(f"Who is {OTHER}?") == "Who is email address?"


def test_of_passages_that_fit_alike_the_one_with_the_token_of_the_question_is_first() -> None:
    candidates = [Candidate(passage(f"Ask {each}."), 0.6, 0.0) for each in (OTHER, MINE)]
    assert [each.text for each in ranked(f"Who is {MINE}?", candidates, 2)] == [f"Ask {MINE}.", f"Ask {OTHER}."]
    same = [each.score for each in ranked("Who is it?", candidates, 2)]
    assert same[0] == same[1]
