"""What an argument of the command may be."""

import re

from functions.errors import TroupeError

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class UsageError(TroupeError):
    """An argument that cannot be used."""


def seconds(text: str, option: str) -> float:
    """How long a text says: `90s`, `10m`, `2h`, `3d`."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)([smhd])", text)
    if found is None:
        raise UsageError(f"{option} is {text!r}: write a number and a unit, e.g. 90s, 10m, 2h or 3d")
    return float(found[1]) * _SECONDS[found[2]]


def per_second(text: str, option: str) -> float:
    """How many a second a text says: `10/s`, `600/m`, `100/h`."""
    found = re.fullmatch(r"(\d{1,9}(?:\.\d{1,3})?)/([smh])", text)
    if found is None or not float(found[1]):
        raise UsageError(f"{option} is {text!r}: write how many in which time, e.g. 10/s, 600/m or 100/h")
    return float(found[1]) / _SECONDS[found[2]]
