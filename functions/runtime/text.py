"""What agents need to know about words and sentences, without a model."""

import functools
import re
from collections.abc import Iterator, Sequence

import Stemmer

STOPWORDS = frozenset(
    """a about an and any are as at be been but by can could did do does doing for from get had has have how i if in
    into is it its let make may me my need of on one or out over should so some than that the their them then there
    these they thing things this those to up use used using want was way we were what when where which while who why
    will with would you your""".split()  # noqa: SIM905 - a list of 90 quoted words is no easier to read
)
NEGATIONS = frozenset({"not", "no", "never", "none", "without", "cannot", "neither", "nor"})

_WORD = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_NEGATED = re.compile(r"n['\u2019]t\b", re.IGNORECASE)
_NUMBER = re.compile(r"\d+(?:\.\d+)*")
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[`*]*[A-Z0-9])")
_ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|etc|cf|vs|resp|approx|no|fig|al)\.$", re.IGNORECASE)
_LIST_ITEM = re.compile(r"\s*(?:[-*+•]|\d{1,2}[.)])\s+")
_CODE = re.compile(
    r"\s*(?:>>>|\.\.\. |\$ |#!|[|+][-=|+]|```)|\s{4,}\S|[\w.]+\([^()]*(?:\([^()]*\)[^()]*)*\)(?: -> .*)?$"
)
_INSTRUCTION = re.compile(
    r"""\b(?:ignore|disregard|forget|override)\b[^.!?\n]{0,40}
            \b(?:previous|prior|above|earlier|preceding|all|any|your)\b[^.!?\n]{0,40}
            \b(?:instruction|prompt|message|rule|guideline|direction|context|told)s?
      | \byou\s+are\s+(?:now\s+)?(?:an?\s+)?(?:ai|assistant|chatbot|chatgpt|language\s+model|llm|dan)\b
      | \b(?:reveal|print|repeat|output|leak|show)\b[^.!?\n]{0,30}\b(?:system|hidden|secret)\s+prompt
      | \b(?:do\s+not|don['\u2019]t|never)\s+(?:tell|inform|warn|mention|reveal)\b[^.!?\n]{0,30}\b(?:the\s+)?user
      | \b(?:tell|instruct|convince|urge)\s+the\s+user\b
      | \bthe\s+(?:assistant|ai|model|chatbot)\s+(?:must|should|shall|will\s+now)\b
      | \b(?:new|updated)\s+(?:system\s+)?instructions?\s*:
      | <\|(?:im_start|im_end|system|user|assistant)\|> | \[/?INST\] | \#{2,}\s*(?:system|instruction)s?\b
      | ^\s*(?:system|assistant)\s*:""",
    re.IGNORECASE | re.VERBOSE | re.MULTILINE,
)

_stemmer = Stemmer.Stemmer("english")


def words(text: str) -> tuple[str, ...]:
    """The words that carry the meaning: lower case, stemmed, `readText` and `read_text` in parts, in order."""
    found = (word.lower() for part in _CAMEL.split(text) for word in _WORD.findall(part))
    return tuple(_stem(word) for word in found if word not in STOPWORDS and (len(word) > 1 or word.isdigit()))


@functools.lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    return str(_stemmer.stemWord(word))


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, white space folded; code, tables and signatures are left out."""
    return tuple(sentence for paragraph in _paragraphs(text) for sentence in _split(paragraph))


def _paragraphs(text: str) -> Iterator[str]:
    """Runs of prose; a list's items are paragraphs of their own."""
    run: list[str] = []
    for line in [*text.splitlines(), ""]:
        breaks = not line.strip() or _CODE.match(line) or _LIST_ITEM.match(line)
        if breaks and run:
            yield " ".join(run)
            run = []
        if line.strip() and not _CODE.match(line):
            item = _LIST_ITEM.match(line)
            run.append(line[item.end() if item else 0 :].strip())


def _split(paragraph: str) -> Iterator[str]:
    folded = re.sub(r"\s+", " ", paragraph).strip()
    held = ""
    for piece in _SENTENCE_END.split(folded):
        held = f"{held} {piece}" if held else piece
        if not _ABBREVIATED.search(held):
            yield held
            held = ""
    if held:
        yield held


def overlap(asked: Sequence[str], said: Sequence[str]) -> float:
    """How much of what is asked is said, 0 to 1; both as `words` gives them."""
    wanted = set(asked)
    return len(wanted & set(said)) / len(wanted) if wanted else 0.0


def support(claim: str, source: str) -> float:
    """How much of a claim its source says, 0 to 1; 1 where it stands there word for word.

    A claim with a number that the source has not, or one that is negated where the source is not, has none:
    such sentences look alike and say the opposite.
    """
    if _folded(claim) in _folded(source):
        return 1.0
    claimed = words(claim)
    return max((_agreement(claim, claimed, sentence) for sentence in sentences(source)), default=0.0)


def _agreement(claim: str, claimed: Sequence[str], sentence: str) -> float:
    if set(_NUMBER.findall(claim)) - set(_NUMBER.findall(sentence)) or _negated(claim) != _negated(sentence):
        return 0.0
    return overlap(claimed, words(sentence))


def _negated(text: str) -> bool:
    return bool(_NEGATED.search(text)) or any(word in NEGATIONS for word in text.lower().split())


def _folded(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip().casefold()


def gives_instructions(text: str) -> bool:
    """Whether a text addresses whoever processes it instead of stating something: an injected instruction."""
    return _INSTRUCTION.search(text) is not None
