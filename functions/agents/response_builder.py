"""Puts together what the user gets: the text with its citations, and how it was made."""

from collections.abc import Iterator, Sequence
from typing import Annotated

from functions.events.answer import (
    ActionCompleted,
    AnswerReady,
    Citation,
    CitedSentence,
    Evidence,
    Making,
    ResponseReady,
    ValidationComplete,
)
from functions.ports.conversations import Append
from functions.runtime.agent import agent

NOTHING_FOUND = "I found nothing in the documents that answers this."
NEAREST = 3
SEARCH_FAILED = "I could not search the documents."


@agent(memory_mb=256, timeout_s=10)
def response_builder(
    ready: AnswerReady | ActionCompleted, *, conversation: Annotated[Append, "conversations"]
) -> ResponseReady:
    """Number the citations, say what failed, and store the answer in the conversation."""
    response = _done(ready) if isinstance(ready, ActionCompleted) else _answered(ready)
    conversation.append("assistant", response.text)
    return response


def _done(completed: ActionCompleted) -> ResponseReady:
    return ResponseReady(text=f"Remembered: {completed.remembered}", making=Making(method="action"))


def _answered(ready: AnswerReady) -> ResponseReady:
    complete, validation = ready.complete, ready.complete.validation
    numbers = _numbers(ready.sentences)
    failed = bool(validation.missing) and not complete.queries
    return ResponseReady(
        text=_text(ready.sentences, numbers) or (SEARCH_FAILED if failed else NOTHING_FOUND),
        citations=tuple(
            Citation(number=number, passage=each.passage.id, name=each.passage.name, source=each.passage.source)
            for number, each in _cited(ready.sentences, numbers)
        ),
        sentences=tuple(
            CitedSentence(text=each.text, citation=numbers[each.passage.id], support=each.support)
            for each in ready.sentences
        ),
        notes=tuple(_notes(complete)),
        degraded=bool(validation.missing),
        making=Making(
            method="extractive",
            queries=complete.queries,
            rounds=complete.rounds,
            passages=validation.passages,
            considered=validation.considered,
            dropped=validation.dropped,
        ),
    )


def _numbers(sentences: Sequence[Evidence]) -> dict[str, int]:
    """Citation numbers by passage, in the order in which the text needs them."""
    numbers: dict[str, int] = {}
    for each in sentences:
        numbers.setdefault(each.passage.id, len(numbers) + 1)
    return numbers


def _cited(sentences: Sequence[Evidence], numbers: dict[str, int]) -> Iterator[tuple[int, Evidence]]:
    first = {each.passage.id: each for each in reversed(sentences)}
    return ((number, first[passage]) for passage, number in numbers.items())


def _text(sentences: Sequence[Evidence], numbers: dict[str, int]) -> str:
    """A paragraph a passage, which opens with its name; the number after each of its sentences."""
    paragraphs: dict[str, list[str]] = {}
    for each in sentences:
        said = paragraphs.setdefault(each.passage.id, [f"{each.passage.name}:"])
        said.append(f"{each.text} [{numbers[each.passage.id]}]")
    return "\n".join(" ".join(said) for said in paragraphs.values())


def _notes(complete: ValidationComplete) -> Iterator[str]:
    validation = complete.validation
    if not complete.sufficient and validation.evidence:
        nearest = dict.fromkeys(f"{each.passage.name} ({each.passage.source})" for each in validation.evidence)
        yield f"Nearest, but not an answer: {', '.join(list(nearest)[:NEAREST])}."
    if complete.remembered:
        yield f"Remembered: {complete.remembered}"
    if failed := len(validation.missing):
        yield (
            f"Degraded: {failed} of {failed + len(complete.queries)} searches failed "
            f"({'; '.join(sorted(set(validation.missing)))}), so something may be missing."
        )
    for source in validation.refused:
        yield f"Left out: {source} gives instructions instead of facts."
    if validation.dropped:
        yield f"Left out: {_counted(validation.dropped, 'sentence')} without support in the source."


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
