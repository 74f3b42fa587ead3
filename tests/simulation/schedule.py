"""What goes wrong, and when: worked out from the seed and the place alone, so that a run can be repeated.

A place is what somebody was doing, and for the how manyth time. What happens at one place therefore does not depend
on what happened at others, and a schedule can be shrunk by leaving faults out.
"""

import hashlib
from collections import defaultdict
from collections.abc import Mapping
from typing import NamedTuple

MOST_FAULTS = 80  # of one run: after that everything works, so that every run comes to an end


class Fault(NamedTuple):
    """One thing that went wrong."""

    place: str
    kind: str


class Schedule:
    """The faults and the order of one run.

    Args:
        seed: Of the run.
        rate: Multiplies how likely every fault is; with 0, nothing goes wrong and everything comes in order.
        allowed: The places where something may go wrong; None for everywhere.

    Attributes:
        injected: What went wrong so far.
    """

    def __init__(self, seed: int, *, rate: float, allowed: frozenset[str] | None = None) -> None:
        self._salt = seed.to_bytes(8, "big")
        self._rate = rate
        self._allowed = allowed
        self._times: dict[str, int] = defaultdict(int)
        self.injected: list[Fault] = []

    def calm(self) -> "Schedule":
        """The same seed, where nothing goes wrong."""
        return Schedule(int.from_bytes(self._salt, "big"), rate=0.0)

    def chance(self, *what: object) -> float:
        """From 0 to 1, the same for the same seed and words."""
        said = "|".join(map(str, what)).encode()
        return int.from_bytes(hashlib.blake2b(said, digest_size=8, salt=self._salt).digest(), "big") / 2**64

    def order(self, label: str, time: int) -> float:
        """The place of a message among those that are due: the lowest is handed out first."""
        return self.chance("order", label, time) if self._rate else 0.0

    def fault(self, point: str, kinds: Mapping[str, float]) -> str:
        """What goes wrong at this point, this time; empty where nothing does. The numbers are how likely each is."""
        if not self._rate:
            return ""
        place = f"{point} {self._times[point]}"
        self._times[point] += 1
        if len(self.injected) >= MOST_FAULTS or (self._allowed is not None and place not in self._allowed):
            return ""
        roll = self.chance(place) / self._rate
        for kind, likely in kinds.items():
            roll -= likely
            if roll < 0:
                self.injected.append(Fault(place, kind))
                return kind
        return ""
