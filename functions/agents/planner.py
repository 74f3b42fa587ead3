"""Takes a question apart into the queries that are searched in parallel."""

import re
from collections.abc import Iterator

from functions.events.answer import PlanCreated, QuestionAsked
from functions.runtime.agent import agent
from functions.runtime.text import STOPWORDS, words

MAX_QUERIES = 4
MAX_QUERY_CHARACTERS = 1_000  # past what the encoder reads
FEW_WORDS = 2  # a question with fewer words that mean something leans on what was asked before

_QUESTION_WORD = r"(?:how|what|why|when|where|which|who|can|could|does|do|is|are|should)"
_CLAUSES = re.compile(rf"(?<=[?;])\s+|[,;]?\s+(?:and|also|then)\s+(?={_QUESTION_WORD}\b)", re.IGNORECASE)
_IDENTIFIER = re.compile(r"`([^`\n]{2,80})`|\b([A-Za-z_]\w*(?:\.\w+)+)\b")
_REFERS_BACK = re.compile(
    r"\b(?:it|its|they|them|these|those|that one|the same|instead)\b|^(?:and|or|but|what about)\b", re.IGNORECASE
)


@agent(memory_mb=256, timeout_s=10)
def planner(asked: QuestionAsked) -> list[PlanCreated]:
    """Plan the queries of this round: none that was tried before, unless nothing else is left."""
    tried = {query.casefold() for query in asked.tried}
    queries: dict[str, str] = {}
    for query in _reformulated(asked) if asked.round > 1 else _first(asked):
        cut = query.strip()[:MAX_QUERY_CHARACTERS].strip()
        if words(cut) and cut.casefold() not in tried:
            queries.setdefault(cut.casefold(), cut)
    planned = list(queries.values())[:MAX_QUERIES] or [asked.question[:MAX_QUERY_CHARACTERS]]
    return [PlanCreated(asked=asked, query=query) for query in planned]


def _first(asked: QuestionAsked) -> Iterator[str]:
    """The question with what it refers to, its clauses, and the names it mentions."""
    question = asked.question
    yield f"{asked.earlier[-1]} {question}" if asked.earlier and _leans_back(question) else question
    clauses = [clause for clause in _CLAUSES.split(question) if len(words(clause)) > 1]
    if len(clauses) > 1:
        yield from clauses
    for quoted, dotted in _IDENTIFIER.findall(question):
        yield quoted or dotted


def _leans_back(question: str) -> bool:
    return bool(_REFERS_BACK.search(question)) or len(words(question)) < FEW_WORDS


def _reformulated(asked: QuestionAsked) -> Iterator[str]:
    """Fewer words: only those that mean something, then each half of them, then with what was asked before."""
    kept = [word for word in re.findall(r"[\w.]+", asked.question) if word.lower() not in STOPWORDS]
    yield " ".join(kept)
    half = (len(kept) + 1) // 2
    yield " ".join(kept[:half])
    yield " ".join(kept[half:])
    if asked.earlier:
        yield f"{asked.earlier[-1]} {' '.join(kept)}"
