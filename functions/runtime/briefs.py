"""What a message asks to be found out: its form, and the subjects that it names. By rule, without a model."""

import re
from typing import Literal

import msgspec

from functions.runtime.patterns import compiled
from functions.runtime.text import sentences, words

MANY_SUBJECTS = 3  # so many are compared from several sides, even where nobody asks for depth
MANY_QUESTIONS = 3
QUESTION_WORDS = 3  # `Really?` asks nothing
MAX_SUBJECT_WORDS = 4  # what is longer is no name of a thing, so the list is none of subjects
MAX_PAIRED_WORDS = 2  # `json and pickle` are two subjects, `reading binary files and writing them back` is one

_POLITE = r"\s*(?:hello|hi|hey)?[\s,]*(?:please[\s,]+)?(?:(?:can|could|would|will)\s+you\s+)?(?:please\s+)?"
_WANTED = r"(?:(?:i|we)\s+(?:need|want|would\s+like)\s+(?:you\s+to\s+)?)?"
_OPENING = rf"{_POLITE}{_WANTED}"
_KIND = r"""(?:short|brief|small|long|detailed|thorough|in-depth|deep|comprehensive|full|complete|technical|general
    |critical|literature|research|comparative|structured)"""
_RESEARCH = rf"""{_OPENING}(?:
        (?:do|carry\s+out|conduct|make)\s+(?:some\s+|a\s+little\s+|thorough\s+)?research\s+(?:on|into|about)\s+
      | research(?:\s+(?:on|into|about))?(?:\s*:\s*|\s+)(?!(?:papers?|articles?|notes?|is|was|says)\b)
      | (?:(?:write|give|make|prepare|draft|produce|create|compile|put\s+together)\s+(?:(?:me|us)\s+)?)?
        (?:an?|the)\s+(?:{_KIND}[\s,]+)*(?:review|report|overview|survey|briefing|study|essay)\s+(?:on|about|over)\s+
      | (?:(?:write|give|make|prepare|draft|produce|create|compile|put\s+together)\s+(?:(?:me|us)\s+)?)
        (?:an?|the)\s+(?:{_KIND}[\s,]+)*(?:review|overview|survey)\s+of\s+
    )(?P<topic>\S.*)"""
_EXPLAIN = rf"{_OPENING}(?:explain|describe|discuss|analy[sz]e|explore|investigate|study)\s+(?P<topic>\S.*)"
_COMPARE = rf"""{_OPENING}(?:
        (?:compare|contrast|compare\s+and\s+contrast|vergleiche?|comparez?|compara)\s+
      | (?:(?:write|give|make|prepare|draft)\s+(?:(?:me|us)\s+)?)?an?\s+(?:{_KIND}[\s,]+)*comparison\s+(?:of|between)\s+
    )(?P<topic>\S.*)"""
_DIFFERENCE = r"\s*what(?:\s+is|\s+are|['\u2019]s)\s+the\s+(?:\w+\s+)?differences?\s+between\s+(?P<topic>\S.*)"
_IN_DEPTH = r"""(?<![\s,])[\s,]+
    (?:in\s+(?:more\s+|great\s+|some\s+)?(?:depth|detail)|thoroughly|at\s+length|from\s+all\s+sides)\b"""
_ASPECT = r"\s+(?:for|in\s+terms\s+of|with\s+(?:respect|regard)\s+to|regarding|concerning|when|according\s+to)\s+(?=\S)"
_AND = r"(?:and|or|vs\.?|versus|und|oder|et|ou|y)"
_LISTED = rf"\s*[,;/]\s*(?:{_AND}\s+)?|\s+{_AND}\s+"
_PAIRED = r"\s+(?:with|to|against|mit|avec|con)\s+"
_ARTICLE = r"(?:the|an?|python['\u2019]s)\s+"
_GENERIC = r"\s+(?:modules?|packages?|librar(?:y|ies)|functions?|class(?:es)?)$"
_HOW_IT_WORKS = r"(?:how|what)\s+(?P<topic>\S.*?)\s+(?:works?|does|do|is|are)"
_WORKING_WITH = (
    r"(?:how\s+to\s+(?:use|work\s+with)|(?:the\s+)?ways\s+(?:to|of)|(?:the\s+)?uses?\s+of|(?:working|dealing)\s+with)\s+"
    r"|(?:using|handling)\s+"
)


class Brief(msgspec.Struct, frozen=True, kw_only=True):
    """What a message asks for.

    Attributes:
        form: `comparison` of subjects, `report` on a topic, several `questions`, or one `question`.
        topic: What it is about, without the words that ask for it.
        subjects: The things that a comparison or a report names, or the questions.
        aspect: Under which aspect they are compared; empty where none is named.
        in_depth: Whether it asks for depth.
    """

    form: Literal["comparison", "report", "questions", "question"]
    topic: str
    subjects: tuple[str, ...] = ()
    aspect: str = ""
    in_depth: bool = False


def brief_of(text: str) -> Brief:
    """What a message asks for, whichever workflow it goes to."""
    folded = " ".join(text.split())
    in_depth = _compiled(_IN_DEPTH).search(folded) is not None
    asked = _compiled(_IN_DEPTH).sub("", folded) if in_depth else folded
    compared = _compiled(_COMPARE).match(asked) or _compiled(_DIFFERENCE).match(asked)
    if compared and (brief := _comparison(_bare(compared["topic"]), in_depth=in_depth)):
        return brief
    questions = _questions(folded)
    if len(questions) > 1:
        return Brief(form="questions", topic=folded, subjects=questions, in_depth=in_depth)
    if found := _compiled(_RESEARCH).match(asked):
        topic = _bare(found["topic"])
        return Brief(form="report", topic=topic, subjects=_named(topic), in_depth=True)
    if in_depth and (found := _compiled(_EXPLAIN).match(asked)):
        return Brief(form="report", topic=_bare(found["topic"]), subjects=_named(_bare(found["topic"])), in_depth=True)
    return Brief(form="question", topic=_bare(asked), in_depth=in_depth)


def wants_research(text: str) -> bool:
    """Whether a message asks, by its form, for more than an answer: a report, a comparison, several questions."""
    brief = brief_of(text)
    if brief.form == "comparison":
        is_ordered = _compiled(_COMPARE).match(text) is not None
        return is_ordered and (brief.in_depth or len(brief.subjects) >= MANY_SUBJECTS)
    if brief.form == "questions":
        return len(brief.subjects) >= MANY_QUESTIONS
    return brief.form == "report"


def _comparison(topic: str, *, in_depth: bool) -> Brief | None:
    """What is compared, or None where it is no list of things."""
    things, *aspects = _compiled(_ASPECT).split(topic, maxsplit=1)
    subjects = _subjects(things) or _subjects(things, _PAIRED)
    if not subjects:
        return None
    return Brief(
        form="comparison",
        topic=topic,
        subjects=subjects,
        aspect=_compiled(_ARTICLE).sub("", " ".join(aspects), count=1),
        in_depth=in_depth,
    )


def _subjects(things: str, separator: str = _LISTED) -> tuple[str, ...]:
    """The things of a list, each once; none where there are fewer than two, or some are no names of things."""
    listed = [
        _compiled(_GENERIC).sub("", _compiled(_ARTICLE).sub("", each.strip(), count=1))
        for each in _compiled(separator).split(things)
    ]
    subjects = {each.casefold(): each for each in listed if each}
    return tuple(subjects.values()) if len(subjects) > 1 and all(map(_names_a_thing, subjects)) else ()


def _names_a_thing(subject: str) -> bool:
    """Whether it may be a name: `strings ignoring case` says how to compare."""
    _, *rest = subject.split()
    return bool(words(subject)) and len(rest) < MAX_SUBJECT_WORDS and not any(word.endswith("ing") for word in rest)


def _named(topic: str) -> tuple[str, ...]:
    """The things that a topic lists: three or more, or two of few words, as many in each.

    `temporary files and directories` is one topic: both are temporary.
    """
    things, *_ = _compiled(_ASPECT).split(topic, maxsplit=1)
    subjects = _subjects(things)
    lengths = {len(each.split()) for each in subjects}
    is_pair_of_names = len(lengths) == 1 and max(lengths) <= MAX_PAIRED_WORDS
    return subjects if len(subjects) >= MANY_SUBJECTS or is_pair_of_names else ()


def _questions(text: str) -> tuple[str, ...]:
    """The questions of a message that ask something, each once."""
    found = [sentence for sentence in sentences(text) if sentence.endswith(("?", "\uff1f"))]
    return tuple(dict.fromkeys(each for each in found if words(each) and len(each.split()) >= QUESTION_WORDS))


def _bare(topic: str) -> str:
    """The topic itself: `how X works` and `working with X` are about X."""
    inner = topic.strip(" .?!,;:\uff1f\u3002")
    found = _compiled(_HOW_IT_WORKS).fullmatch(inner)
    return found["topic"] if found else _compiled(_WORKING_WITH).sub("", inner, count=1)


def _compiled(pattern: str) -> re.Pattern[str]:
    return compiled(pattern, re.IGNORECASE | re.VERBOSE | re.DOTALL)
