"""Puts together what the user gets: the text with its citations, and how it was made."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import msgspec

from functions.events.answer import (
    ActionAnswered,
    ActionCompleted,
    ActionNotFound,
    AnswerReady,
    Citation,
    CitedSentence,
    Evidence,
    Making,
    ResponseReady,
    Written,
)
from functions.events.common import Passage
from functions.ports.conversations import Append
from functions.ports.personal import Reveal
from functions.runtime.agent import agent
from functions.runtime.text import counted

NOTHING_FOUND = "I found nothing in the documents that answers this."
NEAREST = 3
ANSWER_CUT = "The server's answer is longer than what is shown, or did not come whole."
SEARCH_FAILED = "I could not search the documents."


@agent(memory_mb=256, timeout_s=10)
def response_builder(
    ready: AnswerReady | ActionCompleted | ActionAnswered | ActionNotFound,
    *,
    conversation: Annotated[Append, "conversations"],
    reveal: Annotated[Reveal, "documents"] | None = None,
) -> ResponseReady:
    """Number the citations, say what failed, and store the answer in the conversation: with originals, as allowed."""
    response = _answered(ready) if isinstance(ready, AnswerReady) else _of_an_action(ready)
    if reveal is not None:
        response = _revealed(response, reveal)
    conversation.append("assistant", response.text)
    return response


def _revealed(response: ResponseReady, reveal: Reveal) -> ResponseReady:
    """All that a reader sees, with originals in the place of tokens; what is cited stays under its id."""
    return msgspec.structs.replace(
        response,
        text=reveal.revealed(response.text),
        citations=tuple(
            msgspec.structs.replace(each, name=reveal.revealed(each.name), source=reveal.revealed(each.source))
            for each in response.citations
        ),
        sentences=tuple(msgspec.structs.replace(each, text=reveal.revealed(each.text)) for each in response.sentences),
        notes=tuple(map(reveal.revealed, response.notes)),
    )


def _of_an_action(ended: ActionCompleted | ActionAnswered | ActionNotFound) -> ResponseReady:
    if isinstance(ended, ActionNotFound):
        known = ", ".join(f"/{name}" for name in ended.known)
        text = f"There is no action /{ended.action}. There are: {known}."
        return ResponseReady(text=text, making=Making(method="extractive"))
    if isinstance(ended, ActionCompleted):
        return ResponseReady(text=f"Remembered: {ended.remembered}", making=Making(method="action"))
    notes = (ANSWER_CUT,) if ended.cut else ()
    return ResponseReady(text=_server_said(ended), notes=notes, making=Making(method="action"))


def _server_said(answered: ActionAnswered) -> str:
    if answered.status is None:
        return f"/{answered.action} is done, as a person found out: what the server answered is not known."
    return f"/{answered.action} is done. The server answered {answered.status}" + (
        f": {answered.text}" if answered.text else "."
    )


def _answered(ready: AnswerReady) -> ResponseReady:
    complete, validation = ready.complete, ready.complete.validation
    said = ready.written or tuple(map(_quoted, ready.sentences))
    numbers = _numbers(said)
    failed = bool(validation.missing) and not complete.queries
    text = _prose(said, numbers) if ready.written else _quotes(said, numbers)
    return ResponseReady(
        text=text or (SEARCH_FAILED if failed else NOTHING_FOUND),
        citations=tuple(
            Citation(number=number, passage=passage.id, name=passage.name, source=passage.source)
            for number, passage in _cited(said, numbers)
        ),
        sentences=tuple(_sentence(each, numbers) for each in said),
        notes=tuple(_notes(ready)),
        degraded=bool(validation.missing or complete.planning.failed or ready.writing.failed),
        making=Making(
            method="model" if ready.written else "extractive",
            queries=complete.queries,
            rounds=complete.rounds,
            passages=validation.passages,
            considered=validation.considered,
            dropped=validation.dropped,
            model=ready.writing.name or complete.planning.name,
            unsupported=ready.unsupported,
        ),
    )


def _quoted(evidence: Evidence) -> Written:
    """A source's own sentence."""
    return Written(text=evidence.text, cited=(evidence,), support=evidence.support)


def _sentence(each: Written, numbers: Mapping[str, int]) -> CitedSentence:
    first, *others = _numbers_of(each, numbers)
    return CitedSentence(text=each.text, citation=first, support=each.support, also=tuple(others))


def _numbers_of(each: Written, numbers: Mapping[str, int]) -> Sequence[int]:
    """The citations of a sentence, each passage once."""
    return list(dict.fromkeys(numbers[evidence.passage.id] for evidence in each.cited))


def _numbers(said: Sequence[Written]) -> dict[str, int]:
    """Citation numbers by passage, in the order in which the text needs them."""
    numbers: dict[str, int] = {}
    for each in said:
        for evidence in each.cited:
            numbers.setdefault(evidence.passage.id, len(numbers) + 1)
    return numbers


def _cited(said: Sequence[Written], numbers: Mapping[str, int]) -> Iterator[tuple[int, Passage]]:
    passages = {evidence.passage.id: evidence.passage for each in said for evidence in each.cited}
    return ((number, passages[passage]) for passage, number in numbers.items())


def _prose(said: Sequence[Written], numbers: Mapping[str, int]) -> str:
    """What a model wrote: the numbers after each of its sentences."""
    return " ".join(f"{each.text} {''.join(f'[{number}]' for number in _numbers_of(each, numbers))}" for each in said)


def _quotes(said: Sequence[Written], numbers: Mapping[str, int]) -> str:
    """A paragraph a passage, which opens with its name; the number after each of its sentences."""
    paragraphs: dict[str, list[str]] = {}
    for each in said:
        passage = each.cited[0].passage
        paragraph = paragraphs.setdefault(passage.id, [f"{passage.name}:"])
        paragraph.append(f"{each.text} [{numbers[passage.id]}]")
    return "\n".join(" ".join(paragraph) for paragraph in paragraphs.values())


def _notes(ready: AnswerReady) -> Iterator[str]:
    complete, validation = ready.complete, ready.complete.validation
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
    if why := complete.planning.failed:
        yield f"Degraded: the model could not be used to plan the searches ({why}), so they were planned by rule."
    if why := ready.writing.failed:
        yield f"Degraded: the model could not be used to write the answer ({why}), so it is in the sources' own words."
    for source in validation.refused:
        yield f"Left out: {source} gives instructions instead of facts."
    if validation.dropped:
        yield f"Left out: {counted(validation.dropped, 'sentence')} without support in the source."
    if ready.unsupported:
        yield f"Left out: {counted(ready.unsupported, 'sentence')} of the model that its citations do not say."
