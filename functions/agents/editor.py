"""Checks the report sentence by sentence, marks what is quoted, numbers the references and puts it together."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated

import msgspec

from functions.events.answer import Citation, CitedSentence, Making, ResponseReady
from functions.events.common import Passage
from functions.events.event import All
from functions.events.research import MAX_SUBQUESTIONS, DraftWritten, FindingsCollected, SourcesCited, Statement
from functions.ports.conversations import Append
from functions.ports.vectors import Lookup
from functions.runtime.agent import agent
from functions.runtime.checking import SUPPORTED, is_poisoned, is_supported, quoted
from functions.runtime.text import counted, support

NOTHING_FOUND = "I found nothing in the documents on this."
NOTHING_LEFT = "I found sources, but nothing that could be written from them stands in them."
SEARCH_FAILED = "I could not search the documents."
NO_DRAFT = "I could not write the report. These are the sources that were found for it."
NO_BRANCH = "I could not write the report, nor cite its sources."


@agent(memory_mb=512, timeout_s=20)
def editor(
    ends: All[SourcesCited | DraftWritten],
    *,
    documents: Annotated[Lookup, "documents"],
    memories: Annotated[Lookup, "memories"],
    conversation: Annotated[Append, "conversations"],
) -> ResponseReady:
    """Keep what its stored source says, once; go on without the branch that is missing; store the report."""
    cited = next((each for each in ends if isinstance(each, SourcesCited)), None)
    draft = next((each for each in ends if isinstance(each, DraftWritten)), None)
    lines = {each.passage: each.line for each in cited.references} if cited else {}
    lost = tuple(f"{each.agent}: {each.reason}" for each in ends.missing)
    if draft:
        ids = list(dict.fromkeys(each.passage for each in draft.statements))
        stored = {each.id: each for each in (*documents.read(ids), *memories.read(ids))}
        response = _report(draft, _checked(draft, stored), lines, lost)
    else:
        response = _without_draft(cited.collected if cited else FindingsCollected(), lines, lost)
    conversation.append("assistant", response.text)
    return response


class _Kept(msgspec.Struct, frozen=True):
    """A statement that its source supports, as it is shown."""

    statement: Statement
    shown: str
    support: float


class _Checked(msgspec.Struct, frozen=True):
    """What became of a draft: what is kept, and how much is not, for which reason."""

    kept: tuple[_Kept, ...]
    unsupported: int
    repeated: int
    refused: tuple[str, ...]


def _checked(draft: DraftWritten, stored: Mapping[str, Passage]) -> _Checked:
    kept: list[_Kept] = []
    refused: dict[str, None] = {}
    unsupported = repeated = 0
    for statement in draft.statements:
        source = stored.get(statement.passage)
        if source and is_poisoned(source):
            refused[f"{source.name} ({source.source})"] = None
        elif source is None or (supported := support(statement.text, source.text)) < SUPPORTED:
            unsupported += 1
        elif _is_said(statement, kept):
            repeated += 1
        else:
            kept.append(_Kept(statement, quoted(statement.text, source.text), supported))
    return _Checked(tuple(kept), unsupported, repeated, tuple(refused))


def _is_said(statement: Statement, kept: Iterable[_Kept]) -> bool:
    """Whether a sentence that is kept says the same: each supports the other, numbers and negations included."""
    mine, others = statement.text, (each.statement.text for each in kept)
    return any(is_supported(mine, other) and is_supported(other, mine) for other in others)


def _report(draft: DraftWritten, checked: _Checked, lines: Mapping[str, str], lost: Sequence[str]) -> ResponseReady:
    collected = draft.collected
    used = list(dict.fromkeys(each.statement.passage for each in checked.kept))
    numbers = {passage: number for number, passage in enumerate(used, 1)}
    passages = {each.passage.id: each.passage for each in collected.findings}
    return ResponseReady(
        text=_text(collected, checked.kept, numbers) or _nothing(collected),
        citations=tuple(_citation(number, passages[each], lines) for each, number in numbers.items()),
        sentences=tuple(
            CitedSentence(text=_bare(each.shown), citation=numbers[each.statement.passage], support=each.support)
            for each in checked.kept
        ),
        notes=(*_notes_on_findings(collected, lost), *_notes_on_draft(draft, checked)),
        degraded=bool(collected.missing or lost or draft.model_failures),
        making=_making(collected, draft, checked),
    )


def _text(collected: FindingsCollected, kept: Sequence[_Kept], numbers: Mapping[str, int]) -> str:
    """A numbered heading a sub-question, below it a paragraph a name, which opens with the name."""
    names = {each.passage.id: each.passage.name for each in collected.findings}
    sections: dict[int, dict[str, list[str]]] = {}
    for each in kept:
        paragraphs = sections.setdefault(each.statement.subquestion, {})
        said = paragraphs.setdefault(names[each.statement.passage], [])
        said.append(f"{each.shown} [{numbers[each.statement.passage]}]")
    return "\n\n".join(
        "\n".join(
            (
                f"{place}. {collected.plan[number].heading}",
                *(f"{name}: {' '.join(said)}" for name, said in paragraphs.items()),
            )
        )
        for place, (number, paragraphs) in enumerate(sections.items(), 1)
    )


def _bare(shown: str) -> str:
    """A sentence that is quoted whole, without its quotation marks."""
    inside = shown.removeprefix("\u201c").removesuffix("\u201d")
    return shown if "\u201c" in inside or "\u201d" in inside else inside


def _nothing(collected: FindingsCollected) -> str:
    if collected.findings:
        return NOTHING_LEFT
    return NOTHING_FOUND if collected.searched else SEARCH_FAILED


def _citation(number: int, passage: Passage, lines: Mapping[str, str]) -> Citation:
    reference = lines.get(passage.id, "")
    return Citation(number=number, passage=passage.id, name=passage.name, source=passage.source, reference=reference)


def _without_draft(collected: FindingsCollected, lines: Mapping[str, str], lost: Sequence[str]) -> ResponseReady:
    """The sources alone, by number."""
    passages = [each.passage for each in collected.findings]
    found = NO_DRAFT if passages else NO_BRANCH if not collected.plan else _nothing(collected)
    return ResponseReady(
        text=found,
        citations=tuple(_citation(number, each, lines) for number, each in enumerate(passages, 1)),
        notes=tuple(_notes_on_findings(collected, lost)),
        degraded=True,
        making=Making(method="extractive", queries=_queries(collected), rounds=1, passages=len(passages)),
    )


def _making(collected: FindingsCollected, draft: DraftWritten, checked: _Checked) -> Making:
    return Making(
        method="model" if draft.model else "extractive",
        model=draft.model,
        queries=_queries(collected),
        rounds=1,
        passages=len(collected.findings),
        considered=draft.considered,
        dropped=checked.unsupported,
    )


def _queries(collected: FindingsCollected) -> tuple[str, ...]:
    return tuple(query for number in collected.searched for query in collected.plan[number].queries)


def _notes_on_findings(collected: FindingsCollected, lost: Sequence[str]) -> Iterator[str]:
    if collected.missing:
        yield f"Degraded: not searched for, so something may be missing: {', '.join(collected.missing)}."
    for each in lost:
        yield f"Degraded: a part of the work was lost ({each})."
    found = {each.subquestion for each in collected.findings}
    if found and (empty := [collected.plan[each].heading for each in collected.searched if each not in found]):
        yield f"No source was found for: {'; '.join(empty)}."
    if collected.left_out:
        yield f"Not looked into, since a report has {MAX_SUBQUESTIONS} sections: {', '.join(collected.left_out)}."
    for source in collected.refused:
        yield f"Left out: {source} gives instructions instead of facts."


def _notes_on_draft(draft: DraftWritten, checked: _Checked) -> Iterator[str]:
    for reason in dict.fromkeys(draft.model_failures):
        yield f"Degraded: the model failed ({reason}) at a part of the work, which was done without it."
    for source in checked.refused:
        yield f"Left out: {source} gives instructions instead of facts."
    if checked.unsupported:
        yield f"Left out: {counted(checked.unsupported, 'sentence')} without support in the source."
    if checked.repeated:
        yield f"Left out: {counted(checked.repeated, 'sentence')} that said what another one says."
