"""What running the command in a test gives."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

OFFICE = """\
# The [bold] office

The office [/] opens at nine on [red]Mondays[/red]. Bring a badge.
"""


@dataclass(frozen=True)
class Ran:
    """What a command left behind."""

    code: int
    out: str
    err: str

    def json(self) -> Any:  # noqa: ANN401 - whatever the command printed
        return msgspec.json.decode(self.out)


Troupe = Callable[..., Ran]
