"""Selects and orders the sentences of the answer: the extractive way, which needs no model."""

from collections.abc import Iterable, Sequence

from functions.events.answer import AnswerReady, Evidence, ValidationComplete
from functions.runtime.agent import agent
from functions.runtime.text import overlap, words

MAX_SENTENCES = 6
MAX_OF_ONE_PASSAGE = 3
SAME = 0.8  # two sentences that share so many words say the same
SHARE_OF_BEST = 0.75  # of the best sentence's relevance: what is below that is left out


@agent(memory_mb=256, timeout_s=10)
def summarizer(complete: ValidationComplete) -> AnswerReady:
    """Choose the most relevant sentences that say something new, and keep those of a source together."""
    chosen = _chosen(complete.validation.evidence) if complete.sufficient else ()
    return AnswerReady(complete=complete, sentences=_in_order(chosen))


def _chosen(evidence: Sequence[Evidence]) -> list[Evidence]:
    chosen: list[Evidence] = []
    least = max((each.relevance for each in evidence), default=0.0) * SHARE_OF_BEST
    for each in evidence:
        if len(chosen) == MAX_SENTENCES or each.relevance < least:
            break
        of_passage = sum(other.passage.id == each.passage.id for other in chosen)
        if of_passage < MAX_OF_ONE_PASSAGE and not _is_said(each, chosen):
            chosen.append(each)
    return chosen


def _is_said(each: Evidence, chosen: Iterable[Evidence]) -> bool:
    """Whether what is chosen says it, or it is but a word of its passage's name."""
    mine = words(each.text)
    if " " not in each.text and overlap(mine, words(each.passage.name)) == 1:
        return True
    return any(overlap(mine, words(other.text)) >= SAME for other in chosen)


def _in_order(chosen: Iterable[Evidence]) -> tuple[Evidence, ...]:
    """The passage that fits the question best first; inside a passage as it is written."""
    return tuple(sorted(chosen, key=lambda each: (-each.passage.score, each.passage.id, each.position)))
