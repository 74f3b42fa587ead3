"""A text as it is looked through: digits of every script as ASCII, dashes and spaces alike, nothing invisible."""

import re
import sys
import unicodedata
from functools import cache

import msgspec

_INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"
_UNSEEN = re.compile(f"[{_INVISIBLE}]")
_FULL_WIDTH = range(0xFF01, 0xFF5F)  # ASCII from `!` to `~`, as wide as an ideograph
_FULL_WIDTH_BY = 0xFEE0


class Reading(msgspec.Struct, frozen=True):
    """A text to look through, and where its characters stand in the one that was given.

    Attributes:
        view: What is looked through.
        places: Of each character of the view; None where it has the same as in the text.
    """

    view: str
    places: tuple[int, ...] | None = None

    def span(self, start: int, end: int) -> tuple[int, int]:
        """Where a part of the view is in the text, with what is invisible in it."""
        if self.places is None:
            return start, end
        return self.places[start], self.places[end - 1] + 1


def reading_of(text: str) -> Reading:
    """The reading of a text of any kind; as long as the text but for what is invisible."""
    if text.isascii():
        return Reading(text)
    view = text.translate(_folding())
    if not _UNSEEN.search(view):
        return Reading(view)
    places = tuple(place for place, character in enumerate(view) if not _UNSEEN.match(character))
    return Reading(_UNSEEN.sub("", view), places)


@cache
def _folding() -> dict[int, str]:
    """One character for one."""
    folding = {code: chr(code - _FULL_WIDTH_BY) for code in _FULL_WIDTH}
    for code in range(0x80, sys.maxunicode + 1):
        character = chr(code)
        category = unicodedata.category(character)
        if category == "Nd":
            folding[code] = str(unicodedata.decimal(character))
        elif category == "Zs":
            folding[code] = " "
        elif category == "Pd" or character == "\N{MINUS SIGN}":
            folding[code] = "-"
    return folding
