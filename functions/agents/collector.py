"""Brings together what the searches found: each passage once, for the sub-question that it fits best."""

from collections.abc import Iterable, Iterator, Sequence

from functions.events.common import Passage
from functions.events.event import All, AgentFailed
from functions.events.research import Finding, FindingsCollected, SourcesFound, Subquestion
from functions.runtime.agent import agent
from functions.runtime.checking import is_poisoned
from functions.runtime.text import words

FITTING = 0.35  # of a score: what is below has nothing to do with what was asked
PER_SUBQUESTION = 6


@agent(memory_mb=256, timeout_s=10)
def collector(found: All[SourcesFound]) -> FindingsCollected:
    """Merge the findings, leave out what gives instructions or fits nothing, and name what failed."""
    reasons = tuple(each.reason for each in found.missing)
    if not found.parts:
        return FindingsCollected(missing=reasons)
    planned = found.parts[0].planned
    searched = tuple(part.planned.number for part in found)
    poisoned = {each.id: each for part in found for each in part.passages if is_poisoned(each)}
    return FindingsCollected(
        question=planned.question,
        plan=planned.plan,
        findings=tuple(_findings(found, poisoned)),
        searched=searched,
        missing=tuple(_named(planned.plan, searched, found.missing)),
        refused=tuple(dict.fromkeys(f"{each.name} ({each.source})" for each in poisoned.values())),
        model_failures=planned.model_failures,
    )


def _findings(found: Iterable[SourcesFound], poisoned: Iterable[str]) -> Iterator[Finding]:
    """The best few passages of each sub-question; one that fits several is for that which it fits best."""
    left_out = set(poisoned)
    best: dict[str, Finding] = {}
    for part in found:
        number = part.planned.number
        subquestion = part.planned.plan[number]
        for passage in part.passages:
            if passage.id in left_out or not _fits(passage, subquestion):
                continue
            other = best.get(passage.id)
            if other is None or passage.score > other.passage.score:
                best[passage.id] = Finding(passage=passage, subquestion=number)
    ordered = sorted(best.values(), key=lambda each: (each.subquestion, -each.passage.score, each.passage.id))
    taken: dict[int, int] = {}
    for finding in ordered:
        taken[finding.subquestion] = taken.get(finding.subquestion, 0) + 1
        if taken[finding.subquestion] <= PER_SUBQUESTION:
            yield finding


def _fits(passage: Passage, subquestion: Subquestion) -> bool:
    """Whether it has to do with what was asked, and with the subject that the sub-question is about."""
    subject = set(words(subquestion.subject))
    about = set(words(f"{passage.name} {passage.source} {passage.text}"))
    return passage.score >= FITTING and (not subject or not subject.isdisjoint(about))


def _named(plan: Sequence[Subquestion], searched: Iterable[int], failed: Iterable[AgentFailed]) -> Iterator[str]:
    """The sub-questions that nobody searched for, with the reasons that there are."""
    done = set(searched)
    lost = [each.heading for number, each in enumerate(plan) if number not in done]
    reasons = list(dict.fromkeys(each.reason for each in failed))
    yield from (f"{heading} ({'; '.join(reasons)})" for heading in lost)
