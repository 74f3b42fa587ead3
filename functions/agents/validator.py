"""Checks what was found against its sources, sentence by sentence."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated

import msgspec

from functions.events.answer import DocsRetrieved, Evidence, SupportLacking, Validation, ValidationComplete
from functions.events.common import Passage
from functions.events.event import All
from functions.ports.vectors import Lookup
from functions.runtime.agent import agent
from functions.runtime.text import gives_instructions, overlap, sentences, support, words

SUPPORTED = 0.6  # of a sentence's words, in one sentence of its source
RELEVANT = 0.45  # where nothing reaches this, the answer has too little to do with the question
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
    validation = _validate(finds, stored, tuple(part.reason for part in found.missing))
    queries = tuple(part.query for part in found)
    if found.parts and not any(each.relevance >= RELEVANT for each in validation.evidence):
        return SupportLacking(asked=found.parts[0].asked, tried=queries, validation=validation)
    return ValidationComplete(
        rounds=max((part.asked.round for part in found), default=1),
        queries=queries,
        sufficient=bool(found.parts),
        remembered=next((part.asked.remembered for part in found), ""),
        validation=validation,
    )


class _Find(msgspec.Struct, frozen=True):
    """A passage, and the words of what it was found for."""

    passage: Passage
    asked: tuple[str, ...]


def _distinct(found: Iterable[DocsRetrieved]) -> Sequence[_Find]:
    """Each passage once, under the query that it fits best; the best first."""
    best: dict[str, _Find] = {}
    for part in found:
        # A reformulated query has fewer words than the question: what fits all of them may still answer little.
        asked = words(part.query if part.asked.round == 1 else part.asked.question)
        for passage in part.passages:
            if passage.id not in best or passage.score > best[passage.id].passage.score:
                best[passage.id] = _Find(passage, asked)
    return sorted(best.values(), key=lambda find: (-find.passage.score, find.passage.id))


def _validate(finds: Sequence[_Find], stored: Mapping[str, Passage], missing: tuple[str, ...]) -> Validation:
    evidence: list[Evidence] = []
    refused: list[str] = []
    considered = 0
    for find in finds:
        passage, source = find.passage, stored.get(find.passage.id)
        if gives_instructions(passage.text) or (source and gives_instructions(source.text)):
            refused.append(f"{passage.name} ({passage.source})")
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
        yield Evidence(
            text=sentence,
            passage=msgspec.structs.replace(passage, text=""),
            position=position,
            support=support(sentence, source.text) if source else 0.0,
            relevance=round((passage.score + said) / 2, 4),
        )
