"""The one convention of names: project, stack, what it is. Limits are looked at before anything is made."""

import re
from collections.abc import Iterable

import msgspec


class Limit(msgspec.Struct, frozen=True):
    """What a cloud takes as a name: how long, of which characters."""

    what: str
    longest: int
    pattern: str


class Names(msgspec.Struct, frozen=True):
    """The names of one stack."""

    project: str
    stack: str

    @property
    def prefix(self) -> str:
        """What every name begins with, e.g. `troupe-dev`; also the source of events."""
        return f"{self.project}-{self.stack}"

    def of(self, *parts: str) -> str:
        """E.g. `troupe-dev-response-builder`: the names of agents with hyphens for underscores."""
        return "-".join([self.prefix, *parts]).replace("_", "-")


def problems(names: Iterable[tuple[Limit, str]]) -> list[str]:
    """What is wrong with these names, a sentence each."""
    found = []
    for limit, name in names:
        if len(name) > limit.longest:
            found.append(
                f"{name} is {len(name)} characters long, and {limit.what} takes {limit.longest}: "
                "shorten the stack's name or the agent's"
            )
        elif not re.fullmatch(limit.pattern, name):
            found.append(f"{name} is no name for {limit.what}: it takes {limit.pattern}")
    return found
