"""What the commands share on their way in: options, what an argument may be, and what asks before it goes on."""

import re
import sys
from typing import Annotated, TypeVar

import typer

from functions.errors import TroupeError

Text = TypeVar("Text", str, "str | None", "list[str] | None")

_SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


class UsageError(TroupeError):
    """An argument that cannot be used."""


def unicode(given: Text) -> Text:
    """One text, several or none, all of which can be written and compared; a terminal may send other bytes."""
    try:
        "".join(given or []).encode()
    except UnicodeEncodeError as error:
        raise UsageError("an argument is not valid UTF-8: check the encoding of the terminal or the script") from error
    return given


Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Tenant = Annotated[
    str, typer.Option("--tenant", help="Whose, where the server has keys for several.", callback=unicode)
]
Stack = Annotated[
    str,
    typer.Option(
        "--stack",
        envvar="TROUPE_STACK",
        help="A stack on AWS, e.g. troupe-dev; without one, the store of this machine.",
        callback=unicode,
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Ask nothing.")]


def of_stack(stack: str) -> str:
    """Which stack is meant, for a question that a person has to understand; nothing where none is."""
    return f" of {stack}" if stack else ""


def confirm(question: str) -> None:
    """Go on only where a person says yes."""
    if not sys.stdin.isatty():
        raise UsageError(f"nobody can answer here: {question} Say --yes")
    typer.confirm(question, abort=True, err=True)


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
