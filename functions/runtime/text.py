"""What agents need to know about words and sentences, without a model."""

import functools
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

import Stemmer

from functions.runtime.patterns import compiled

STOPWORDS = frozenset(
    """a about an and any are as at be been but by can could did do does doing for from get had has have how i if in
    into is it its let make may me my need of on one or out over should so some than that the their them then there
    these they thing things this those to up use used using want was way we were what when where which while who why
    will with would you your""".split()  # noqa: SIM905 - a list of 90 quoted words is no easier to read
)
NEGATIONS = frozenset(
    {"not", "no", "never", "none", "nobody", "nothing", "nowhere", "without", "cannot", "neither", "nor"}
)

#: Between the words of `readText` and `HTTPServer`.
HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")

_WORD = re.compile(r"[^\W\d_]+|\d+(?:\.\d+)*")
_NEGATION = re.compile(rf"n['\u2019]t\b|\b(?:{'|'.join(sorted(NEGATIONS))})\b", re.IGNORECASE)
_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)*|\d+(?:\.\d+)*")

_SENTENCE_END = re.compile(r"""[.!?]["'\u201d\u2019)\]`*]*(?=\s)|[\u3002\uff01\uff1f]""")
_ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|a\.k\.a|cf|vs|resp|approx|incl|al|mr|mrs|ms|dr|prof)\.$", re.IGNORECASE)
_ABBREVIATED_BEFORE_A_NUMBER = re.compile(r"\b(?:no|fig|sec|ch|vol|ver|eq|p|pp)\.$", re.IGNORECASE)
_IDENTIFIER = re.compile(r"\w+(?:_|\()")  # keeps its small letter where a sentence begins
_TOO_SHORT = 3  # characters of what is no sentence: the `2.` of a list that was written in one line
_LABEL_WORDS = 3  # `For example:` says nothing without what follows it

_LIST_ITEM = re.compile(r"\s*(?:(?:[-*+\u2022]|\d{1,2}[.)]|[a-z][.)])\s+|(?=[\w.]+(?:\([^()]*\))?\s+--\s))")
_TABLE_ROW = re.compile(r"[^|\n]*\S \| \S")
_FENCE = re.compile(r"\s*(?:```|~~~)")
_INDENTED = re.compile(r"\s{4,}\S")
_RULE = re.compile(r"\s*[-=|+_*~]{3,}[-=|+_*~\s]*$")
_SIGNATURE = re.compile(r"\s*[\w.]+\([^()]*(?:\([^()]*\)[^()]*)*\)(?:\s*-+> [^.]{1,60}|\s+#.*)?$")
_EXAMPLE = re.compile(r"\s*(?:>>>|\.\.\.(?: |$)|\$ |#!)")
_STATEMENT = re.compile(
    r"""(?:async\ |export\ )?(?:
          (?:def|class|for|while|with|if|elif|try|except)\b.*:$ | (?:import|assert|return|raise|yield)\b[^.]*$
        | from\ \S+\ import\b | [\w.\[\]"']+(?:\ [-+*/|&]?=\ |=)\S )""",
    re.VERBOSE,
)

_AI = r"(?:ai|a\.i\.|assistant|chatbot|chatgpt|llm|(?:large\s+)?language\s+model)"
_INSTRUCTION = rf"""\b(?:ignore|disregard|forget)\b[^.!?]{{0,40}}
            \b(?:previous|prior|above|earlier|preceding|all|any|your)\b[^.!?]{{0,40}}
            \b(?:instruction|prompt|message|rule|guideline|direction|context|told)s?
      | \b(?:override|bypass)\b[^.!?]{{0,20}}\b(?:all|any|your)\b[^.!?]{{0,20}}\b(?:instruction|prompt|rule|guideline)s?
      | \b(?:ignore|disregard|forget)\s+(?:everything|all|anything)\s+(?:above|before|prior|previous|you|that\s+came)\b
      | \b(?:ignore|disregard|forget)\s+(?:all\s+)?(?:of\s+)?(?:the\s+)?(?:above|previous|foregoing)\s*(?:and\b|[,.;:!])
      | \byou\s+are\s+(?:now\s+)?(?:an?\s+)?(?:{_AI}|dan)\b
      | \byou\s+are\s+now\s+(?:an?\s+)?(?:unrestricted|uncensored|unfiltered|jailbroken|evil|malicious)\b
      | \bfrom\s+now\s+on,?\s+(?:you\s+(?:are|must|will|shall)\s+)?(?:answer|respond|reply|obey|act\s+as)\b
      | \bpretend\s+(?:that\s+)?you\b
      | \b(?:reveal|print|repeat|output|leak|show)\b[^.!?]{{0,30}}\b(?:system|hidden|secret)\s+prompt
      | \brepeat\s+(?:the\s+|all\s+)*(?:words|text|everything)\s+above\b
      | \b(?:do\s+not|don['\u2019]t|never)\s+(?:tell|inform|warn|mention|reveal)\b[^.!?]{{0,30}}\bthe\s+user
      | \b(?:do\s+not|don['\u2019]t|never|instead\s+of)\s+answer(?:ing)?\s+(?:the|their|any)\s+(?:user|question)
      | \b(?:tell|instruct|convince|urge|persuade)\s+the\s+user\b
      | \bthe\s+{_AI}\s+(?:must|should|shall|will\s+now)\b
      | \b(?:(?:note|message|instructions?)\s+(?:to|for)|attention[,:]?)\s+(?:(?:the|any|all)\s+)?{_AI}s?\b
      | \bwhen(?:ever)?\s+(?:you\s+)?(?:are\s+)?(?:asked\s+to\s+)?(?:summari[sz]|answer)(?:e|ing)\s+this\b
      | \b(?:respond|reply|answer)\s+only\s+with\b
      | \b(?:send|post|forward|upload|e-?mail)\b[^.!?]{{0,30}}\b(?:conversation|chat\s+(?:history|log))\b
      | \b(?:new|updated)\s+(?:system\s+)?instructions?\s*: | \bsystem\s+(?:prompt|message|override)\s*:
      | <\|(?:im_start|im_end|system|user|assistant|endoftext)\|> | \[/?INST\] | <</?SYS>> | </?system_prompt>
      | ^[ ]?\#*[ ]?(?:system|assistant|ai)[ ]?: | \#{{2,}}[ ]?(?:system|instruction)s?\b
      | \bignor\w*\b[^.!?]{{0,40}}\b(?:instruc\w+|istruzioni)\s+(?:pr[e\u00e9]c[e\u00e9]dent|anterior)
      | \bignor\w*\b[^.!?]{{0,40}}\b(?:vorherig|bisherig)\w*\s+anweisungen
      | \b(?:vorherig|bisherig)\w*\s+anweisungen\b[^.!?]{{0,20}}\bignorier
      | [\u5ffd\u65e0\u7121][\u7565\u89c6\u8996][^\u3002]{{0,12}}(?:\u6307\u793a|\u6307\u4ee4)
      | \u0438\u0433\u043d\u043e\u0440\u0438\u0440\w*[^.!?]{{0,40}}\u0438\u043d\u0441\u0442\u0440\u0443\u043a\u0446"""
_BLANKS = re.compile(r"[^\S\n]+")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060-\u2064\ufeff]")

_stemmer = Stemmer.Stemmer("english")


def words(text: str) -> tuple[str, ...]:
    """The words that carry the meaning: lower case, stemmed, `readText` and `read_text` in parts, in order."""
    found = (word.lower() for part in HUMP.split(text) for word in _WORD.findall(part))
    return tuple(_stem(word) for word in found if word not in STOPWORDS and (len(word) > 1 or word.isdigit()))


@functools.lru_cache(maxsize=16_384)
def _stem(word: str) -> str:
    return str(_stemmer.stemWord(word))


def sentences(text: str) -> tuple[str, ...]:
    """The sentences of a text, white space folded; a row of a table is one; code and signatures are left out."""
    found = (sentence for paragraph in _paragraphs(text) for sentence in _split(paragraph))
    return tuple(sentence for sentence in found if not _is_label(sentence))


def _paragraphs(text: str) -> Iterator[str]:
    """Runs of prose; a list's items and a table's rows are paragraphs of their own."""
    run: list[str] = []
    for line in _prose(text):
        item = _LIST_ITEM.match(line)
        if run and (not line or item or _TABLE_ROW.match(line)):
            yield " ".join(run)
            run = []
        if line:
            run.append(line[item.end() if item else 0 :].strip())
    if run:
        yield " ".join(run)


def _prose(text: str) -> Iterator[str]:
    """The lines without code, which leaves an empty one in its place."""
    before, in_code, in_fence = "", False, False
    for line in textwrap.dedent(text).splitlines():
        if _FENCE.match(line):
            in_fence = not in_fence
        in_code = bool(line.strip()) and (in_code or _starts_code(line, before))
        is_left_out = in_fence or in_code or _FENCE.match(line) or _RULE.match(line) or _SIGNATURE.match(line)
        before = "" if is_left_out else line.strip()
        yield before and line


def _starts_code(line: str, before: str) -> bool:
    """Whether a block of code begins here, after this line of prose: a paragraph's own lines may be indented too."""
    if _EXAMPLE.match(line):
        return True
    if _INDENTED.match(line) and not _LIST_ITEM.match(line):
        return not before or before.endswith(":")
    return not before and _STATEMENT.match(line.strip()) is not None


def _split(paragraph: str) -> Iterator[str]:
    folded = " ".join(paragraph.split())
    start = 0
    for found in _SENTENCE_END.finditer(folded):
        end = found.end()
        if _ends(folded[max(start, found.start() - 10) : found.start() + 1], folded[end : end + 40].lstrip()):
            yield folded[start:end].lstrip()
            start = end
    if rest := folded[start:].lstrip():
        yield rest


def _ends(before: str, after: str) -> bool:
    """Whether a full stop between the two ends a sentence."""
    if len(before.strip()) < _TOO_SHORT or _ABBREVIATED.search(before):
        return False
    if after[:1].isdigit():
        return not _ABBREVIATED_BEFORE_A_NUMBER.search(before)
    return not after[:1].islower() or _IDENTIFIER.match(after) is not None


def _is_label(sentence: str) -> bool:
    return sentence.endswith(":") and len(sentence.split()) <= _LABEL_WORDS


def overlap(asked: Sequence[str], said: Sequence[str]) -> float:
    """How much of what is asked is said, 0 to 1; both as `words` gives them."""
    wanted = set(asked)
    return len(wanted & set(said)) / len(wanted) if wanted else 0.0


def support(claim: str, source: str) -> float:
    """How much of a claim its source says, 0 to 1; 1 where it is a sentence of it, word for word.

    A claim with a number that the source has not, or with more or fewer negations, has none: such sentences
    look alike and say the opposite.
    """
    said = _said(source)
    if _folded(claim) in said:
        return 1.0
    claimed, numbers, negations = words(claim), set(_NUMBER.findall(claim)), _negations(claim)
    agreeing = (
        sentence for sentence in said if numbers <= set(_NUMBER.findall(sentence)) and negations == _negations(sentence)
    )
    return max((overlap(claimed, words(sentence)) for sentence in agreeing), default=0.0)


@functools.lru_cache(maxsize=16)
def _said(source: str) -> frozenset[str]:
    """The sentences of a source, without their case: asked once for each claim."""
    return frozenset(map(_folded, sentences(source)))


def _negations(text: str) -> int:
    return len(_NEGATION.findall(text))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def gives_instructions(text: str) -> bool:
    """Whether a text addresses whoever processes it instead of stating something: an injected instruction."""
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    instruction = compiled(_INSTRUCTION, re.IGNORECASE | re.VERBOSE | re.MULTILINE)
    return instruction.search(_BLANKS.sub(" ", visible)) is not None


def counted(number: int, noun: str) -> str:
    """A number with its noun, which takes an `s` for several."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
