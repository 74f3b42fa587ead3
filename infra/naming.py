"""The one convention of names: project, stack, what it is. Limits are looked at before anything is made."""

import re
from collections import Counter
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
    """What is wrong with these names: the longest of each kind that does not fit, and what is there twice."""
    counted = Counter(names)
    wrong: dict[Limit, str] = {}
    for limit, name in sorted(counted, key=lambda each: (-len(each[1]), each[1])):
        if len(name) > limit.longest:
            said = f"{name} is {len(name)} characters long, and {limit.what} takes {limit.longest}: "
            wrong.setdefault(limit, f"{said}shorten the stack's name or the agent's")
        elif not re.fullmatch(limit.pattern, name):
            wrong.setdefault(limit, f"{name} is no name for {limit.what}: it takes {limit.pattern}")
    twice = [f"{name} would be the name of two: rename the agent" for (_, name), times in counted.items() if times > 1]
    return [*wrong.values(), *sorted(twice)]
