"""A text as it is looked through: digits of every script as ASCII, dashes and spaces alike, nothing invisible.

A line goes on after its end as after a space, as numbers do that stand over it; an empty line parts what is around it.
"""

import re
import sys
import unicodedata
from functools import cache

import msgspec

_INVISIBLE = "\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufe00-\ufe0f\ufeff"
_MARGINS = r"(?<=\n)[ \t]+|(?<![ \t])[ \t]++(?=\r?\n)|\r(?=\n)"
_UNSEEN = re.compile(f"[{_INVISIBLE}]|{_MARGINS}")
_SPACE = re.compile(r"(?<!\n)\n(?!\n)|[\t\r]")
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
    """The reading of a text of any kind; as long as the text but for what is invisible, and the margins of lines."""
    view = text if text.isascii() else text.translate(_folding())
    unseen = [match.span() for match in _UNSEEN.finditer(view)]
    if not unseen:
        return Reading(_SPACE.sub(" ", view))
    ends, starts = [0, *(end for _, end in unseen)], [*(start for start, _ in unseen), len(view)]
    places = tuple(place for end, start in zip(ends, starts, strict=True) for place in range(end, start))
    return Reading(_SPACE.sub(" ", _UNSEEN.sub("", view)), places)


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
