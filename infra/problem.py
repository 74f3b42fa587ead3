"""What is wrong with one setting of a stack."""

import json
import re
from collections.abc import Iterable
from typing import Final

import msgspec

_LONGEST: Final = 60
_BEGINS: Final = re.compile(
    r"(sk|pk|rk|ghp|gho|ghs|pcsk|xox[abp]|hf|glpat|github_pat)[-_]|AKIA|ASIA|AIza|eyJ", re.IGNORECASE
)
_SECRET: Final = re.compile(r"-----BEGIN|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ITEM: Final = re.compile(r"\.\d+$")  # of a list, which is left out whole
_RANDOM: Final = re.compile(r"(?=[A-Za-z+]*\d)(?=[\d+]*[A-Za-z])[A-Za-z0-9+]{16,}={0,2}|[A-Za-z0-9+]{40,}={0,2}")


class Problem(msgspec.Struct, frozen=True, order=True):
    """What is wrong with a setting, and what to do.

    Attributes:
        key: Of the setting, from the top: `agents.retriever.memoryMb`.
        what: The rest of the sentence: its value, what is allowed, the remedy.
        others: Keys of the other settings that it is about.
    """

    key: str
    what: str
    others: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """The whole of it."""
        return f"troupe:{self.key} {self.what}"

    def follows(self, wrong: Iterable[str]) -> bool:
        """Whether it is about a setting that could not be read, so that it may hold once that is mended."""
        return any(
            _holds(each, self.key) or any(_holds(each, other) or _holds(other, each) for other in self.others)
            for each in (_ITEM.sub("", key) for key in wrong)
        )


def _holds(one: str, other: str) -> bool:
    return one == other or other.startswith(f"{one}.")


def shown(value: object) -> str:
    """A value fit for a terminal and a log: what may be a secret is not in it."""
    if isinstance(value, str):
        fit = value.isprintable() and not may_be_secret(value)
        return repr(value[:_LONGEST]) if fit else "a text that is not shown here"
    if isinstance(value, list | tuple):
        return "a list"
    return "a mapping" if isinstance(value, dict) else json.dumps(value)[:_LONGEST]


def may_be_secret(text: str) -> bool:
    """Whether a text looks like a key: as the known ones begin, or random characters where names have words."""
    return bool(_BEGINS.match(text) or _SECRET.search(text) or _RANDOM.search(text))


def holds_key(text: str) -> bool:
    """Whether a word of a text begins as known keys do and goes on at random; what is random alone may be an id."""
    return any(_BEGINS.match(word) and _RANDOM.search(word) for word in re.split(r"[^\w+-]", text))
