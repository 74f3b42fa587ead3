"""The labelled sentences, and how much of them is found: by kind, and what was missed or taken for what it is not."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from functions.personal.recognition import found

FILE = Path(__file__).parents[1] / "data" / "personal_data.jsonl"
REGIONS = ("US", "GB", "DE", "FR", "ES")
KINDS = ("EMAIL", "PHONE", "CARD", "IBAN", "IP", "ID")


@dataclass
class Score:
    """Of one kind; right is what has the label's kind and exactly its characters."""

    right: int = 0
    missed: int = 0
    wrong: int = 0
    cases: list[str] = field(default_factory=list)

    @property
    def precision(self) -> float:
        return self.right / (self.right + self.wrong) if self.right + self.wrong else 1.0

    @property
    def recall(self) -> float:
        return self.right / (self.right + self.missed) if self.right + self.missed else 1.0


def sentences() -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Each text with the kinds and the characters of what it holds."""
    for line in FILE.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        yield row["text"], [(kind, value) for kind, value in row["holds"]]


def scores(regions: Sequence[str] = REGIONS) -> dict[str, Score]:
    """By kind."""
    by_kind = {kind: Score() for kind in KINDS}
    for text, holds in sentences():
        expected = Counter(holds)
        got = Counter((each.kind, text[each.start : each.end]) for each in found(text, regions))
        for (kind, value), count in (expected & got).items():
            by_kind[kind].right += count
            del value
        for (kind, value), count in (expected - got).items():
            by_kind[kind].missed += count
            by_kind[kind].cases.append(f"missed {value!r} in {text!r}")
        for (kind, value), count in (got - expected).items():
            by_kind[kind].wrong += count
            by_kind[kind].cases.append(f"took {value!r} in {text!r}")
    return by_kind
