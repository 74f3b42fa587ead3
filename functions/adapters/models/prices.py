"""What a call costs: one table of list prices, each with the day it was read and the page that says so.

Prices change, and a budget that trusts an old one is no budget: a model that is not listed has no price until
somebody gives one.
"""

import re
from datetime import date

import msgspec

from functions.errors import TroupeError

MILLION = 1_000_000


class Price(msgspec.Struct, frozen=True, kw_only=True):
    """What a million tokens cost, in millionths of a US dollar.

    Attributes:
        read: Of what the model is given. What an endpoint had in its cache is cheaper, and counted in full here.
        written: Of what it writes, its reasoning included.
    """

    read: int
    written: int

    def of(self, read: int, written: int) -> int:
        """What a call with so many tokens costs, in millionths of a US dollar, rounded up."""
        return -(-(read * self.read + written * self.written) // MILLION)


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A price as its vendor publishes it.

    Attributes:
        model: As the endpoint knows it, without the date of a snapshot.
        read: Dollars for a million tokens given to the model.
        written: Dollars for a million tokens that it writes.
        seen: The day of the published copy that it was read from.
        source: The vendor's page, by its title.
    """

    model: str
    read: float
    written: float
    seen: date
    source: str


_OPENAI = "OpenAI API: Pricing"
_ANTHROPIC = "Claude API: Pricing"
_SEEN = date(2026, 4, 30)

PRICES = (
    Listed(model="gpt-4o", read=2.50, written=10.00, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-4o-mini", read=0.15, written=0.60, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-4.1", read=2.00, written=8.00, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-4.1-mini", read=0.40, written=1.60, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-4.1-nano", read=0.10, written=0.40, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-5", read=1.25, written=10.00, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-5-mini", read=0.25, written=2.00, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-5-nano", read=0.05, written=0.40, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-5.1", read=1.25, written=10.00, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-5.2", read=1.75, written=14.00, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-5.4", read=2.50, written=15.00, seen=_SEEN, source=_OPENAI),
    Listed(model="gpt-5.4-mini", read=0.75, written=4.50, seen=_SEEN, source=_OPENAI),
    Listed(model="claude-haiku-4-5", read=1.00, written=5.00, seen=_SEEN, source=_ANTHROPIC),
    Listed(model="claude-sonnet-4-6", read=3.00, written=15.00, seen=_SEEN, source=_ANTHROPIC),
)

_SNAPSHOT = re.compile(r"-(?:\d{4}-\d{2}-\d{2}|\d{8})$")
_GIVEN = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*/\s*(\d{1,6}(?:\.\d{1,6})?)\s*")


class UnknownPriceError(TroupeError):
    """Nobody said what this model costs."""


def listed_price(model: str) -> Price:
    """The price of a model in the table; a snapshot (`gpt-4o-2024-08-06`) costs what its model does.

    Raises:
        UnknownPriceError: It is not in the table.
    """
    name = _SNAPSHOT.sub("", model)
    found = next((each for each in PRICES if each.model == name), None)
    if found is None:
        raise UnknownPriceError(
            f"no price is known for the model {model!r}: give TROUPE_MODEL_PRICE as dollars per million tokens read "
            "and written, e.g. 0.15/0.60, or 0/0 where it costs nothing"
        )
    return Price(read=_micros(found.read), written=_micros(found.written))


def given_price(text: str) -> Price:
    """The price in a text such as `0.15/0.60`: dollars per million tokens read, and written.

    Raises:
        UnknownPriceError: It is none.
    """
    found = _GIVEN.fullmatch(text)
    if found is None:
        raise UnknownPriceError(
            f"TROUPE_MODEL_PRICE is {text!r}, which is no price: give dollars per million tokens read and written, "
            "e.g. 0.15/0.60, or 0/0 where it costs nothing"
        )
    return Price(read=_micros(float(found[1])), written=_micros(float(found[2])))


def _micros(dollars: float) -> int:
    return round(dollars * MILLION)
