import re

import pytest
from agent_fakes import Talk, complete, evidence, passage

from functions.agents.response_builder import ANSWER_CUT, NOTHING_FOUND, SEARCH_FAILED, response_builder
from functions.events.answer import (
    ActionAnswered,
    ActionCompleted,
    ActionNotFound,
    AnswerReady,
    Evidence,
    ResponseReady,
    ValidationComplete,
)


def built(*sentences: Evidence, of: ValidationComplete | None = None) -> ResponseReady:
    return response_builder(AnswerReady(complete=of or complete(*sentences), sentences=sentences), conversation=Talk())


def test_citations_are_numbered_from_one_without_gaps_in_the_order_of_the_text() -> None:
    response = built(
        evidence("Lists are sorted.", passage=passage("", id="z", name="list.sort", source="python:builtins")),
        evidence("It is stable.", passage=passage("", id="z", name="list.sort", source="python:builtins")),
        evidence("Heaps are partial.", passage=passage("", id="a", name="heapq", source="python:heapq")),
    )
    assert response.text == "list.sort: Lists are sorted. [1] It is stable. [1]\nheapq: Heaps are partial. [2]"
    assert [(each.number, each.passage, each.name, each.source) for each in response.citations] == [
        (1, "z", "list.sort", "python:builtins"),
        (2, "a", "heapq", "python:heapq"),
    ]
    assert [each.citation for each in response.sentences] == [1, 1, 2]


def test_every_number_in_the_text_is_a_citation_and_every_citation_is_used() -> None:
    sentences = [evidence(f"Fact {letter}.", passage=passage("", id=letter)) for letter in "qwertyuiop"]
    response = built(*sentences)
    in_text = [int(number) for number in re.findall(r"\[(\d+)\]", response.text)]
    assert in_text == [each.number for each in response.citations] == list(range(1, 11))


def test_sentences_are_the_sources_own_words() -> None:
    text = 'Use `a[0]` & <b>: it\'s "fine" [sic].'
    response = built(evidence(text, support=0.95))
    assert [(each.text, each.support) for each in response.sentences] == [(text, 0.95)]
    assert text in response.text


def test_the_answer_is_stored_in_the_conversation() -> None:
    talk = Talk()
    ready = AnswerReady(complete=complete(evidence()), sentences=(evidence(),))
    response = response_builder(ready, conversation=talk)
    assert talk.appended == [("assistant", response.text)]


def test_an_answer_says_how_it_was_made() -> None:
    made = complete(evidence(), rounds=2, queries=("a", "b"), validation={"dropped": 1})
    making = built(evidence(), of=made).making
    assert (making.method, making.rounds, making.queries, making.dropped) == ("extractive", 2, ("a", "b"), 1)


def test_a_whole_answer_has_no_notes() -> None:
    response = built(evidence())
    assert (response.notes, response.degraded) == ((), False)


def test_finding_nothing_is_said_with_the_nearest_sources() -> None:
    near = [evidence(passage=passage("", name=f"near{number}", id=str(number))) for number in range(5)]
    response = built(of=complete(*near, sufficient=False))
    assert response.text == NOTHING_FOUND
    assert response.citations == ()
    assert response.notes == (
        "Nearest, but not an answer: near0 (python:builtins), near1 (python:builtins), near2 (python:builtins).",
    )
    assert not response.degraded


def test_a_failed_search_degrades_the_answer_and_says_why() -> None:
    response = built(evidence(), of=complete(evidence(), validation={"missing": ("the store is away",)}))
    assert response.degraded
    assert response.notes == ("Degraded: 1 of 2 searches failed (the store is away), so something may be missing.",)


def test_where_every_search_failed_the_answer_does_not_pretend_that_there_is_nothing() -> None:
    response = built(of=complete(queries=(), validation={"missing": ("away", "away")}))
    assert response.text == SEARCH_FAILED
    assert response.degraded
    assert response.notes == ("Degraded: 2 of 2 searches failed (away), so something may be missing.",)


def test_what_was_left_out_is_named() -> None:
    made = complete(evidence(), validation={"refused": ("evil (web:x)",), "dropped": 2})
    assert built(evidence(), of=made).notes == (
        "Left out: evil (web:x) gives instructions instead of facts.",
        "Left out: 2 sentences without support in the source.",
    )
    assert built(evidence(), of=complete(evidence(), validation={"dropped": 1})).notes == (
        "Left out: 1 sentence without support in the source.",
    )


def test_what_was_remembered_on_the_way_is_said() -> None:
    assert built(evidence(), of=complete(evidence(), remembered="tea at five")).notes == ("Remembered: tea at five",)


def test_a_fact_alone_is_confirmed() -> None:
    talk = Talk()
    response = response_builder(ActionCompleted(remembered="tea at five"), conversation=talk)
    assert response.text == "Remembered: tea at five"
    assert response.making.method == "action"
    assert talk.appended == [("assistant", response.text)]


@pytest.mark.parametrize(
    ("ended", "text", "notes"),
    [
        (ActionAnswered(action="notify", status=200), "/notify is done. The server answered 200.", ()),
        (
            ActionAnswered(action="notify", status=201, text="number 7", cut=True),
            "/notify is done. The server answered 201: number 7",
            (ANSWER_CUT,),
        ),
        (
            ActionAnswered(action="notify", status=None),
            "/notify is done, as a person found out: what the server answered is not known.",
            (),
        ),
        (ActionNotFound(action="rm", known=("a", "b")), "There is no action /rm. There are: /a, /b.", ()),
    ],
)
def test_what_came_of_an_action_is_said_and_stored(
    ended: ActionAnswered | ActionNotFound, text: str, notes: tuple[str, ...]
) -> None:
    talk = Talk()
    response = response_builder(ended, conversation=talk)
    assert (response.text, response.notes) == (text, notes)
    assert (response.making.method == "action") is isinstance(ended, ActionAnswered), (
        "nothing was done, nothing is said"
    )
    assert talk.appended == [("assistant", text)]


class Known:
    """The `Reveal` capability over one original."""

    def revealed(self, text: str) -> str:
        return text.replace(HIDDEN, "a@example.com")


HIDDEN = "[EMAIL-mzxw6ytboi4dkmrq]"


def test_all_that_a_reader_sees_is_revealed_where_that_is_allowed_and_nothing_without() -> None:
    talk = Talk()
    said = evidence(f"Ask {HIDDEN}.", passage=passage("", id="a", name=HIDDEN, source=f"upload:{HIDDEN}"))
    ready = AnswerReady(complete=complete(said, sufficient=False), sentences=(said,))
    shown = response_builder(ready, conversation=talk, reveal=Known())
    assert HIDDEN not in repr(shown)
    assert (
        repr(shown).count("a@example.com") == 7
    )  # text twice, sentence, name and source of the citation, and the note
    assert talk.appended == [("assistant", shown.text)]
    assert "example.com" not in repr(response_builder(ready, conversation=Talk()))
