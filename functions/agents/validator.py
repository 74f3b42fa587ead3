"""Checks what was found against its sources, sentence by sentence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated

import msgspec

from functions.events.answer import (
    NO_MODEL,
    DocsRetrieved,
    Evidence,
    QuestionAsked,
    SupportLacking,
    Validation,
    ValidationComplete,
)
from functions.events.common import Passage
from functions.events.event import All
from functions.ports.vectors import Lookup
from functions.runtime.agent import agent
from functions.runtime.checking import SUPPORTED, is_poisoned
from functions.runtime.text import overlap, sentences, support, words

# The shares that follow, and those of the summarizer, were chosen on the questions of bench/retrieval.
SCORE_SHARE = 0.7  # of a sentence's relevance: how well its passage fits; the rest, which asked words it has
OPENING = 0.05  # more relevance for the first sentence of a passage, which says what the passage is about
RELEVANT = 0.48  # where nothing reaches this, the answer has too little to do with the question
MAX_EVIDENCE = 40


@agent(memory_mb=512, timeout_s=20)
def validator(
    found: All[DocsRetrieved],
    *,
    documents: Annotated[Lookup, "documents"],
    memories: Annotated[Lookup, "memories"],
) -> ValidationComplete | SupportLacking:
    """Keep the sentences that stand in the stored source, drop the others, refuse sources that give orders."""
    finds = _distinct(found)
    ids = [find.passage.id for find in finds]
    stored = {source.id: source for source in (*documents.read(ids), *memories.read(ids))}
    asked = found.parts[0].asked if found.parts else None
    failed = (*(asked.failed if asked else ()), *(part.reason for part in found.missing))
    validation = _validate(finds, stored, failed)
    queries = (*(asked.tried if asked else ()), *(part.query for part in found))
    if asked and not any(each.relevance >= RELEVANT for each in validation.evidence):
        return SupportLacking(asked=asked, tried=queries, validation=validation)
    return ValidationComplete(
        rounds=asked.round if asked else 1,
        queries=queries,
        sufficient=asked is not None,
        remembered=asked.remembered if asked else "",
        validation=validation,
        question=asked.question if asked else "",
        earlier=asked.earlier if asked else (),
        planning=asked.planning if asked else NO_MODEL,
    )


class _Find(msgspec.Struct, frozen=True):
    """A passage, the words of what it was found for, and how well it fits that."""

    passage: Passage
    asked: tuple[str, ...]
    score: float


def _distinct(found: Iterable[DocsRetrieved]) -> Sequence[_Find]:
    """Each passage once, under the query that it fits best; the best first."""
    best: dict[str, _Find] = {}
    for part in found:
        asked, is_made_up = words(_measure(part)), _is_made_up(part)
        for passage in part.passages:
            if passage.id not in best or passage.score > best[passage.id].passage.score:
                is_apart = is_made_up and not overlap(asked, words(f"{passage.name} {passage.text}"))
                best[passage.id] = _Find(passage, asked, 0.0 if is_apart else passage.score)
    return sorted(best.values(), key=lambda find: (-find.passage.score, find.passage.id))


def _measure(part: DocsRetrieved) -> str:
    """What a passage has to do with the question is measured by: the query, where it has the question's own words.

    A reformulated query has fewer words than the question, and one that a model planned may have others: what fits
    all of them may still answer little.
    """
    asked = part.asked
    if asked.round > 1:
        return max((asked.question, *asked.tried), key=len)
    return max((asked.question, part.query), key=len) if _is_by_model(asked) else part.query


def _is_made_up(part: DocsRetrieved) -> bool:
    """Whether a model may have come up with the query: what only that finds must share a word with the question."""
    return _is_by_model(part.asked) and " ".join(part.asked.question.split()) not in part.query


def _is_by_model(asked: QuestionAsked) -> bool:
    return bool(asked.planning.name) and not asked.planning.failed


def _validate(finds: Sequence[_Find], stored: Mapping[str, Passage], missing: tuple[str, ...]) -> Validation:
    evidence: list[Evidence] = []
    refused: dict[str, None] = {}  # each source once, in order
    considered = 0
    for find in finds:
        passage, source = find.passage, stored.get(find.passage.id)
        if any(is_poisoned(each) for each in (passage, source) if each):
            refused[f"{passage.name} ({passage.source})"] = None
            continue
        checked = list(_checked(find, source))
        considered += len(checked)
        evidence += (each for each in checked if each.support >= SUPPORTED)
    kept = sorted(evidence, key=lambda each: -each.relevance)
    return Validation(
        evidence=tuple(kept[:MAX_EVIDENCE]),
        passages=len(finds),
        considered=considered,
        dropped=considered - len(evidence),
        refused=tuple(refused),
        missing=missing,
    )


def _checked(find: _Find, source: Passage | None) -> Iterator[Evidence]:
    """Every sentence of a passage, with what its source says of it; no source, no support."""
    passage, about = find.passage, words(find.passage.name)
    for position, sentence in enumerate(sentences(passage.text)):
        said = overlap(find.asked, (*about, *words(sentence)))
        relevance = SCORE_SHARE * find.score + (1 - SCORE_SHARE) * said + (0 if position else OPENING)
        yield Evidence(
            text=sentence,
            passage=msgspec.structs.replace(passage, text=""),
            position=position,
            support=support(sentence, source.text) if source else 0.0,
            relevance=round(min(relevance, 1.0), 4),
        )
