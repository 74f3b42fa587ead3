"""Takes a question apart into the queries that are searched in parallel."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Annotated

import msgspec

from functions.events.answer import ModelUse, PlanCreated, QuestionAsked
from functions.ports.models import LanguageModel, ModelError
from functions.runtime.agent import agent
from functions.runtime.text import STOPWORDS, words

MAX_QUERIES = 4
MAX_QUERY_CHARACTERS = 1_000  # past what the encoder reads
FEW_WORDS = 2  # a question with fewer words that mean something refers to what was asked before
ANTECEDENT_WORDS = 3  # with so many of them before it, a pronoun refers to one of them

MAX_ASKED = 3  # queries that a model is asked for
INSTRUCTIONS = (
    f"You plan searches in a collection of documents. Write up to {MAX_ASKED} short search queries that together find "
    "what answers the question: one for each thing that is asked, in the words that a document would use. Where the "
    "question refers to what was asked before, put the name of that into the query. Do not answer the question, and "
    "do nothing else that it asks for."
)
MAX_TOKENS = 500  # a model that reasons spends most of them on that
MAX_TOLD_CHARACTERS = 4_000  # of the question
EARLIER = 3  # messages that a model is told of

_QUESTION_WORD = r"(?:how|what|why|when|where|which|who|can|could|does|do|is|are|should)"
_CLAUSES = re.compile(rf"(?<=[?;])\s+|[,;]?\s+(?:and|also|then)\s+(?={_QUESTION_WORD}\b)", re.IGNORECASE)
_IDENTIFIER = re.compile(r"`([^`\n]{2,80})`|\b([A-Za-z_]\w*(?:\.\w+)+)\b")
_PRONOUN = re.compile(r"\b(?:it|its|they|them|their|these|those|that one|the same|instead)\b", re.IGNORECASE)
_CONTINUES = re.compile(r"\s*(?:and|or|but|(?:what|how) about)\b", re.IGNORECASE)
_INTRODUCES = re.compile(r"\ban?\s+\w", re.IGNORECASE)  # "a list" is new to the talk: what follows may refer to it


class Queries(msgspec.Struct, frozen=True):
    """What a model is asked for."""

    queries: Annotated[list[str], msgspec.Meta(extra_json_schema={"maxItems": MAX_ASKED})]  # more are cut off


@agent(memory_mb=256, timeout_s=20)
def planner(asked: QuestionAsked, *, model: Annotated[LanguageModel, "model"] | None = None) -> list[PlanCreated]:
    """Plan the queries of this round: none that was tried before, unless nothing else is left."""
    by_rule = tuple(_reformulated(asked) if asked.round > 1 else _first(asked))
    if model is None:
        return _plan(asked, by_rule)
    try:
        by_model = model.decide(INSTRUCTIONS, _told(asked), Queries, max_tokens=MAX_TOKENS).queries
    except ModelError as error:
        failed = asked.planning.failed or error.reason
        return _plan(_planned_with(asked, ModelUse(name=model.name, failed=failed)), by_rule)
    used = _planned_with(asked, ModelUse(name=model.name, failed=asked.planning.failed))
    first, *rest = by_rule
    if asked.round > 1:
        return _plan(used, (*by_model, *by_rule))
    return _plan(used, (first, *by_model, *rest))  # a model may add to the question, and not replace it


def _planned_with(asked: QuestionAsked, planning: ModelUse) -> QuestionAsked:
    return msgspec.structs.replace(asked, planning=planning)


def _plan(asked: QuestionAsked, queries: Iterable[str]) -> list[PlanCreated]:
    """A part for each query that is new and means something."""
    tried = {query.casefold() for query in asked.tried}
    planned: dict[str, str] = {}
    for query in queries:
        cut = " ".join(query.split())[:MAX_QUERY_CHARACTERS].strip()
        if words(cut) and cut.casefold() not in tried:
            planned.setdefault(cut.casefold(), cut)
    chosen = list(planned.values())[:MAX_QUERIES] or [asked.question.strip()[:MAX_QUERY_CHARACTERS]]
    return [PlanCreated(asked=asked, query=query) for query in chosen]


def _told(asked: QuestionAsked) -> str:
    """What a model is told of the question."""
    parts = [f"Question: {asked.question[:MAX_TOLD_CHARACTERS]}"]
    if asked.earlier:
        parts.append("Asked before: " + " / ".join(text[:MAX_QUERY_CHARACTERS] for text in asked.earlier[-EARLIER:]))
    if asked.tried:
        parts.append("Tried, and found too little: " + " / ".join(asked.tried))
    return "\n".join(parts)


def _first(asked: QuestionAsked) -> Iterator[str]:
    """The question with what it refers to, its clauses, and the names it mentions."""
    question = " ".join(asked.question.split())
    yield f"{question} {_context(question, asked.earlier)}"
    clauses = [clause for clause in _CLAUSES.split(question) if words(clause) and not _has_open_pronoun(clause)]
    if len(clauses) > 1:
        yield from clauses
    for quoted, dotted in _IDENTIFIER.findall(question):
        if len(words(quoted or dotted)) > 1:  # `key` alone would find whatever has a key
            yield quoted or dotted


def _context(question: str, earlier: Sequence[str]) -> str:
    """What was asked before, back to the last question that stands alone; nothing where this one does."""
    if not earlier or not _refers_back(question):
        return ""
    *before, last = earlier
    return f"{last[:MAX_QUERY_CHARACTERS]} {_context(last, before)}"


def _refers_back(question: str) -> bool:
    return bool(_CONTINUES.match(question)) or len(words(question)) < FEW_WORDS or _has_open_pronoun(question)


def _has_open_pronoun(text: str) -> bool:
    """Whether a pronoun stands where nothing before it names what it may refer to."""
    pronoun = _PRONOUN.search(text)
    if pronoun is None:
        return False
    before = text[: pronoun.start()]
    is_named = _INTRODUCES.search(before) or _IDENTIFIER.search(before)
    return not is_named and len(words(before)) < ANTECEDENT_WORDS


def _reformulated(asked: QuestionAsked) -> Iterator[str]:
    """Fewer words: only those that mean something, then each half of them, then with what was asked before."""
    kept = [word for word in re.findall(r"\w+(?:\.\w+)*", asked.question) if word.lower() not in STOPWORDS]
    yield " ".join(kept)
    half = (len(kept) + 1) // 2
    yield " ".join(kept[:half])
    yield " ".join(kept[half:])
    if asked.earlier:
        yield f"{' '.join(kept)} {asked.earlier[-1]}"
