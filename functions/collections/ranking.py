"""How a passage is read for search, and how its fits to a question become one score.

For every store alike: what is encoded and what is split into words decides what is found, whatever database
holds the result. The figures were chosen on one half of the questions of `bench/retrieval`.
"""

import functools
import importlib.resources
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from functions.events.common import Passage
from functions.ports.personal import TOKEN
from functions.runtime.text import HUMP

# A docstring says in its first lines what the thing is for; what follows blurs the vector and costs time.
_ENCODED_CHARACTERS_OF_DOCSTRINGS: Final = 300
# Of prose: what 256 tokens hold.
_ENCODED_CHARACTERS: Final = 1_200
_INDEXED_CHARACTERS: Final = 20_000
_ASKED_CHARACTERS: Final = 2_000
_NAMES_ASKED: Final = 20
# A word of the name tells as much about a passage as four of its text.
_NAME_WEIGHT: Final = 4
# What the words make of a score; the rest is the cosine's.
_WORDS_SHARE: Final = 0.2
# The BM25 score that counts half: what the best passage for a usual question reaches.
_HALF: Final = 15.0
# A method or an attribute is meant less often than the function or the class that fits as well.
_MEMBER_PENALTY: Final = 0.02
# And a member that is no call, or of which Python does not know how it is called: mostly an attribute.
_ATTRIBUTE_PENALTY: Final = 0.04
# For a passage that the question calls by its name (`asyncio.wait_for`), and for one of the same last name
# (`json.decoder.JSONDecodeError` for `json.JSONDecodeError`), where that is no everyday word.
_NAMED_BONUS: Final = 0.1
_NAMESAKE_BONUS: Final = 0.05
# For a passage with a token of the question: no encoder knows one from another, so that their cosine says nothing.
_TOKEN_BONUS: Final = 0.1
# What an encoder reads in the place of a token.
_KINDS: Final = {
    "EMAIL": "email address",
    "PHONE": "phone number",
    "CARD": "card number",
    "IBAN": "bank account",
    "IP": "IP address",
    "ID": "identity number",
}

#: The source of passages that are docstrings, before their module.
_PYTHON: Final = "python:"
_IDENTIFIER: Final = re.compile(r"[^\W\d]\w*(?:\.\w+)*")
_JOINT: Final = re.compile(r"[._]+")


@dataclass(frozen=True)
class Candidate:
    """A passage that one of the searches brought.

    Attributes:
        passage: As stored.
        cosine: Of the vectors of passage and question, -1 to 1.
        bm25: The BM25 score of the words they share, 0 without any.
    """

    passage: Passage
    cosine: float
    bm25: float


def ranked(question: str, candidates: Iterable[Candidate], limit: int) -> list[Passage]:
    """The `limit` best passages with their scores, best first; equal scores in the order of their ids."""
    named, tokens = _named(question), TOKEN.findall(question[:_ASKED_CHARACTERS])
    scored = [msgspec.structs.replace(each.passage, score=_score(each, named, tokens)) for each in candidates]
    return sorted(scored, key=lambda passage: (-passage.score, passage.id))[: max(limit, 0)]


def _score(candidate: Candidate, named: Collection[str], tokens: Collection[str]) -> float:
    """From 0 to 1, the same for every question: four fifths of the cosine, one fifth for the shared words.

    A name that the question spells out adds to it, and so does a token; being a member takes a little away.
    """
    words = candidate.bm25 / (candidate.bm25 + _HALF)
    fit = (1 - _WORDS_SHARE) * candidate.cosine + _WORDS_SHARE * words
    name_bonus = max((_bonus(candidate.passage.name, each) for each in named), default=0.0)
    token_bonus = _TOKEN_BONUS if any(each in candidate.passage.text for each in tokens) else 0.0
    return min(max(fit + name_bonus + token_bonus - _penalty(candidate.passage), 0.0), 1.0)


def _penalty(passage: Passage) -> float:
    if not _is_member(passage):
        return 0.0
    return _MEMBER_PENALTY if passage.text.startswith(f"{passage.name}(") else _MEMBER_PENALTY + _ATTRIBUTE_PENALTY


def _named(question: str) -> set[str]:
    """The names that a question spells out: `os.path.join`, `wait_for`, `TypedDict`, and no everyday word."""
    found = _IDENTIFIER.findall(question[:_ASKED_CHARACTERS])[:_NAMES_ASKED]
    return {each for each in found if "." in each or _is_distinctive(each)}


def _bonus(name: str, mention: str) -> float:
    if name == mention or name.endswith(f".{mention}"):
        return _NAMED_BONUS
    last = mention.rpartition(".")[2]
    return _NAMESAKE_BONUS if _is_distinctive(last) and name.rpartition(".")[2] == last else 0.0


def _is_distinctive(word: str) -> bool:
    return "_" in word.strip("_") or HUMP.search(word) is not None


def text_to_encode(passage: Passage) -> str:
    """The name and what is said about it; a call's signature, mostly punctuation, only takes up room."""
    docstring = passage.source.startswith(_PYTHON)
    limit = _ENCODED_CHARACTERS_OF_DOCSTRINGS if docstring else _ENCODED_CHARACTERS
    return _without_tokens(f"{passage.name}: {_without_signature(passage)}")[:limit]


def question_to_encode(question: str) -> str:
    """The question with the words of its identifiers apart: `wait_for` as `wait for`."""
    return _apart(_without_tokens(question[:_ASKED_CHARACTERS]))


def words_of_passage(passage: Passage) -> str:
    """What BM25 indexes: the text, the name several times, and the words of their identifiers."""
    return _with_words(f"{(passage.name + ' ') * _NAME_WEIGHT}{_without_signature(passage)[:_INDEXED_CHARACTERS]}")


def words_of_question(question: str) -> str:
    """What BM25 looks for: the question and the words of its identifiers."""
    return _with_words(question[:_ASKED_CHARACTERS])


def related_words(question: str) -> dict[str, float]:
    """Words that mean nearly what a word of the question means, each with its weight below 1."""
    related: dict[str, float] = {}
    for word in re.findall(r"[a-z]+", words_of_question(question).lower()):
        for other, weight in _thesaurus().get(word, {}).items():
            related[other] = max(weight, related.get(other, 0.0))
    return related


@functools.cache
def _thesaurus() -> Mapping[str, Mapping[str, float]]:
    """The words of Python's documentation and, for each, those that the default encoder puts beside it.

    The weight is the square of the cosine of their vectors. Written by `bench/retrieval/make_related_words.py`.
    """
    file = importlib.resources.files(__package__).joinpath("related_words.txt")
    lines = (line.split() for line in file.read_text("utf-8").splitlines())
    return {word: {other: float(weight) for other, weight in _pairs(rest)} for word, *rest in lines}


def _pairs(fields: list[str]) -> Iterable[tuple[str, str]]:
    return zip(fields[::2], fields[1::2], strict=True)


def _is_member(passage: Passage) -> bool:
    """Is it part of a class: more than one step below the module whose docstrings were read?"""
    module = passage.source.removeprefix(_PYTHON)
    if module in (passage.source, passage.name):
        return False
    return "." in passage.name.removeprefix(f"{module}.")


def _with_words(text: str) -> str:
    split = (_apart(each) for each in _IDENTIFIER.findall(text))
    return " ".join([text, *(each for each in split if " " in each)])


def _without_tokens(text: str) -> str:
    """What each token stands for in its place: it would take the room of twenty words, and mean none."""
    return TOKEN.sub(lambda token: _KINDS[token[0][1:].partition("-")[0]], text)


def _apart(text: str) -> str:
    """`logging.RotatingFileHandler` as `logging Rotating File Handler`."""
    return _JOINT.sub(" ", HUMP.sub(" ", text))


def _without_signature(passage: Passage) -> str:
    signature, gap, rest = passage.text.partition("\n\n")
    return rest if gap and signature.startswith(f"{passage.name}(") else passage.text
