"""Brings together what the searches found: each passage once, for the sub-question that it fits best."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence

import msgspec

from functions.events.common import Passage
from functions.events.event import AgentFailed, All
from functions.events.research import MAX_SUBQUESTIONS, Finding, FindingsCollected, SourcesFound, Subquestion
from functions.runtime.agent import agent
from functions.runtime.checking import is_poisoned
from functions.runtime.text import words

FITTING = 0.35  # of a score: what is below has nothing to do with what was asked
PER_SUBQUESTION = 6
NAMED = 0.15  # better fits what a subject names than what has its name in it
SHARE_OF_BEST = 0.8  # of the best passage's score in its sub-question: what is below has its words and little else
MOST = 0.6  # of a subject's words
LONG = 4  # letters: a word with more may be the beginning of another form of it
NEARER = 0.05  # so much better must a later sub-question fit for a passage that an earlier one found

_DOTTED = re.compile(r"\w+(?:\.\w+)+")


@agent(memory_mb=256, timeout_s=10)
def collector(found: All[SourcesFound]) -> FindingsCollected:
    """Merge the findings, leave out what gives instructions or fits nothing, and name what failed."""
    reasons = tuple(each.reason for each in found.missing)
    if not found.parts:
        return FindingsCollected(missing=reasons)
    planned = found.parts[0].planned
    searched = tuple(part.planned.number for part in found)
    fits = _best(each for part in found for each in _fits(part))
    poisoned = {each.finding.passage.id: each.finding.passage for each in fits if is_poisoned(each.finding.passage)}
    return FindingsCollected(
        question=planned.question,
        plan=planned.plan,
        findings=tuple(_findings([each for each in fits if each.finding.passage.id not in poisoned])),
        searched=searched,
        missing=tuple(_named(planned.plan, searched, found.missing)),
        refused=tuple(dict.fromkeys(f"{each.name} ({each.source})" for each in poisoned.values())),
        left_out=planned.left_out,
        model_failures=planned.model_failures,
    )


class _Fit(msgspec.Struct, frozen=True):
    """How well a passage fits the sub-question that it is for."""

    finding: Finding
    score: float


def _best(fits: Iterable[_Fit]) -> Sequence[_Fit]:
    """Each passage once; one that fits several sub-questions is for the first unless another is nearer."""
    best: dict[str, _Fit] = {}
    for each in fits:
        before = best.get(each.finding.passage.id)
        if before is None or each.score > before.score + NEARER:
            best[each.finding.passage.id] = each
    return tuple(best.values())


def _findings(fits: Sequence[_Fit]) -> Iterator[Finding]:
    """The best few passages of each sub-question, best first."""
    for number in range(MAX_SUBQUESTIONS):
        mine = [each for each in fits if each.finding.subquestion == number]
        mine.sort(key=lambda each: (-each.score, each.finding.passage.id))
        least = SHARE_OF_BEST * max((each.finding.passage.score for each in mine), default=0)
        yield from (each.finding for each in mine[:PER_SUBQUESTION] if each.score >= least)


def _fits(part: SourcesFound) -> Iterator[_Fit]:
    subquestion = part.planned.plan[part.planned.number]
    for passage in part.passages:
        if passage.score >= FITTING and _is_about(passage, subquestion):
            score = passage.score + (NAMED if _is_named(passage, subquestion) else 0)
            yield _Fit(Finding(passage=passage, subquestion=part.planned.number), score)


def _is_about(passage: Passage, subquestion: Subquestion) -> bool:
    """Whether it says something of as many of the subjects as it must."""
    text = f"{passage.name} {passage.source} {passage.text}"
    said = set(words(text))
    about = sum(_says(text, said, subject) for subject in subquestion.subjects)
    return not subquestion.subjects or about >= subquestion.least


def _says(text: str, said: Collection[str], subject: str) -> bool:
    """Whether a text has a name as it stands; or most of a subject's words, be it in a longer one (`collector`)."""
    wanted = words(subject)
    if _DOTTED.fullmatch(subject) or not wanted:
        return subject in text
    there = [word for word in wanted if word in said or any(each.startswith(word) for each in said if word[LONG:])]
    return len(there) >= MOST * len(wanted)


def _is_named(passage: Passage, subquestion: Subquestion) -> bool:
    """Whether it is what the one subject names: `deque` is `collections.deque`."""
    subjects = subquestion.subjects
    return len(subjects) == 1 and f".{passage.name}".endswith(f".{subjects[0]}")


def _named(plan: Sequence[Subquestion], searched: Iterable[int], failed: Iterable[AgentFailed]) -> Iterator[str]:
    """The sub-questions that nobody searched for, with the reasons that there are."""
    done = set(searched)
    lost = [each.heading for number, each in enumerate(plan) if number not in done]
    reasons = list(dict.fromkeys(each.reason for each in failed))
    yield from (f"{heading} ({'; '.join(reasons)})" for heading in lost)
