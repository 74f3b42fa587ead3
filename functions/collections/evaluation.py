"""Compare two versions of a collection by what they find: for questions with known answers, and with each other.

Only searches, as agents do; nothing is written.
"""

import random
import uuid
from collections.abc import Iterator, Sequence
from itertools import chain, islice, takewhile

import msgspec

from functions.errors import TroupeError
from functions.events.common import Passage
from functions.events.decoding import decoder
from functions.ports.vector_stores import Fields, Filter, Layout, Point, VectorStore, pages
from functions.ports.vectors import Collection

TOGETHER = 64  # questions that are encoded and asked at once


class QuestionsError(TroupeError, ValueError):
    """A set of questions cannot be used; every line that is wrong is named."""


class Question(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line of a question set.

    Attributes:
        question: What is asked.
        ids: Of the passages that answer it.
        sources: Where passages are from that answer it; with both, either counts.
    """

    question: str
    ids: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()


class Scores(msgspec.Struct, frozen=True, kw_only=True):
    """How well a version answers a question set, 0 to 1.

    Attributes:
        recall: Of what was expected, the share among the first k; the mean over the questions.
        mrr: One over the rank of the first passage that was expected, 0 where none is among the first k; the mean.
    """

    recall: float
    mrr: float


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Two versions, compared.

    Attributes:
        k: How many passages of each answer were looked at.
        questions: How many questions with known answers were asked; `old` and `new` are over them.
        old: None without questions.
        new: The same of the new version.
        samples: How many texts were asked of both; `overlap` is over them.
        overlap: The share of the first k of one that is among the first k of the other, 0 to 1; None without samples.
    """

    k: int
    questions: int
    old: Scores | None
    new: Scores | None
    samples: int
    overlap: float | None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A text that both versions are asked.

    Attributes:
        text: What is asked.
        itself: The id of the passage that it is taken from, which is left out of the answers; empty of a question.
    """

    text: str
    itself: str = ""


def evaluate(  # noqa: PLR0913 - what is compared, and over what
    old: Collection,
    new: Collection,
    *,
    questions: Sequence[Question],
    samples: Sequence[Asked],
    k: int,
    tenant: str,
) -> Evaluation:
    """Ask both versions the same.

    Args:
        old: The collection, held to the one version.
        new: Held to the other.
        questions: With known answers.
        samples: Without: what is compared is how far both agree.
        k: How many passages of each answer count.
        tenant: Whose passages.
    """
    texts = [Asked(text=each.question) for each in questions]
    answers = [(_found(each, texts, k, tenant) if questions else []) for each in (old, new)]
    agreeing = [
        len({passage.id for passage in ours} & {passage.id for passage in theirs}) / max(len(ours), len(theirs))
        for ours, theirs in zip(_found(old, samples, k, tenant), _found(new, samples, k, tenant), strict=True)
        if ours or theirs
    ]
    return Evaluation(
        k=k,
        questions=len(questions),
        old=_scores(questions, answers[0]) if questions else None,
        new=_scores(questions, answers[1]) if questions else None,
        samples=len(agreeing),
        overlap=_mean(agreeing) if agreeing else None,
    )


def read_questions(text: str) -> list[Question]:
    """The questions of a set: JSON lines of `question` with `ids`, `sources` or both.

    Raises:
        QuestionsError: It holds none, or lines that are wrong: each with its number.
    """
    found, wrong = list[Question](), list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            question = decoder(Question).decode(line)
        except msgspec.MsgspecError as error:
            wrong.append(f"line {number}: {error}")
            continue
        if not question.question.strip() or not (question.ids or question.sources):
            wrong.append(f"line {number}: expected a question, and ids or sources that answer it")
        found.append(question)
    if wrong or not found:
        raise QuestionsError(f"the questions cannot be used: {'; '.join(wrong) or 'there are none'}")
    return found


def sampled(store: VectorStore, layout: Layout, where: Filter, number: int, seed: int) -> Sequence[Fields]:
    """What up to so many points say, chosen at random; the same seed chooses the same.

    They follow one another in the order of ids, from a random place on: ids are digests, so that neighbours have no
    more to do with each other than any two points, and a sample costs its own size, whatever the collection holds.
    """
    start = str(uuid.UUID(int=random.Random(seed).getrandbits(128)))  # noqa: S311 - a sample, no secret
    around = takewhile(lambda point: point.id <= start, _after("", store, layout, where))
    return [point.fields for point in islice(chain(_after(start, store, layout, where), around), number)]


def _after(after: str, store: VectorStore, layout: Layout, where: Filter) -> Iterator[Point]:
    return chain.from_iterable(pages(lambda last: store.scroll(layout, where, after=last), after))


def _found(collection: Collection, asked: Sequence[Asked], k: int, tenant: str) -> list[list[Passage]]:
    answers = list[list[Passage]]()
    for start in range(0, len(asked), TOGETHER):
        part = asked[start : start + TOGETHER]
        found = collection.search_each([each.text for each in part], limit=k + 1, tenant=tenant)
        answers += [
            [passage for passage in passages if passage.id != each.itself][:k]
            for each, passages in zip(part, found, strict=True)
        ]
    return answers


def _scores(questions: Sequence[Question], answers: Sequence[Sequence[Passage]]) -> Scores:
    pairs = list(zip(questions, answers, strict=True))
    return Scores(recall=_mean([_recall(*pair) for pair in pairs]), mrr=_mean([_reciprocal(*pair) for pair in pairs]))


def _recall(question: Question, answer: Sequence[Passage]) -> float:
    ids, sources = {passage.id for passage in answer}, {passage.source for passage in answer}
    found = len(ids & set(question.ids)) + len(sources & set(question.sources))
    return found / (len(set(question.ids)) + len(set(question.sources)))


def _reciprocal(question: Question, answer: Sequence[Passage]) -> float:
    for rank, passage in enumerate(answer, 1):
        if passage.id in question.ids or passage.source in question.sources:
            return 1 / rank
    return 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
