"""Prints docs/guarantees.md: which test proves which guarantee on which target, collected and not run."""

import sys
from collections import defaultdict
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
HEAD = """# Guarantees

What holds on every target, and the tests in `tests/conformance` that prove it; they run with `make test`. This page
is made from their marks by `make guarantees`.

| target | what it is |
|---|---|
| `local` | one machine: the shipped runtime over the shipped SQLite store |
| `memory` | no product: single-item conditional writes, an end in separate steps, a bus that repeats and reorders |
| `dynamodb` | the shipped items of AWS on an emulator, under the state and the messages of `memory` |
"""

Proofs = dict[str, list[str]]  # the tests by target


class Collected:
    """What pytest found: sentences by guarantee, and by guarantee the tests of each target."""

    def __init__(self) -> None:
        self.sentences: dict[str, str] = {}
        self.proofs: dict[str, Proofs] = defaultdict(lambda: defaultdict(list))

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Called by pytest."""
        for item in items:
            marks = list(item.iter_markers("guarantee"))
            if not marks or not isinstance(item, pytest.Function):
                raise pytest.UsageError(f"{item.nodeid} names no guarantee: mark it with one")
            for mark in marks:
                self._add(*mark.args, item)

    def _add(self, name: str, sentence: str, item: pytest.Function) -> None:
        if self.sentences.setdefault(name, sentence) != sentence:
            raise pytest.UsageError(f"{item.nodeid} says another sentence of {name}: give it another id")
        target = item.callspec.params["target_name"]
        test = f"{item.path.name}::{item.originalname}"
        if test not in self.proofs[name][target]:
            self.proofs[name][target].append(test)


def main() -> int:
    """Print the page; 0 where everything could be collected."""
    collected = Collected()
    quiet = ["-p", "no:terminal", "-p", "no:randomly", "-p", "no:cacheprovider", "-p", "no:xdist", "-p", "no:cov"]
    code = pytest.main(["--collect-only", "--override-ini=addopts=", *quiet, str(FOLDER)], plugins=[collected])
    if code == pytest.ExitCode.OK:
        sys.stdout.write(page(collected))
    return code


def page(collected: Collected) -> str:
    """The page of what was collected."""
    from targets import ABSENT, REASONS, TARGETS  # noqa: PLC0415 - its folder is on the path once pytest has collected

    rows = [HEAD, "".join(f"\nNothing runs on {_listed(names)} yet: {reason}.\n" for reason, names in ABSENT.items())]
    rows += ["\n| guarantee | " + " | ".join(TARGETS) + " |\n", "|---" * (len(TARGETS) + 1) + "|\n"]
    for name, sentence in sorted(collected.sentences.items()):
        proofs = collected.proofs[name]
        cells = _cells({target: proofs[target] for target in TARGETS}, REASONS)
        rows.append(f"| **{name}** {sentence} | " + " | ".join(cells) + " |\n")
    return "".join(rows)


def _cells(proofs: Proofs, reasons: Mapping[str, str]) -> list[str]:
    """The tests by target; the same tests as on the target before are said to be the same."""
    every = {test for tests in proofs.values() for test in tests}
    cells = [
        "<br>".join(filter(None, (_by_file(tests), _left_out(sorted(every - set(tests)), reasons.get(target, "")))))
        for target, tests in proofs.items()
    ]
    return [cells[0], *("the same" if after == before else after for before, after in pairwise(cells))]


def _by_file(tests: list[str]) -> str:
    files: dict[str, list[str]] = defaultdict(list)
    for test in tests:
        file, _, name = test.partition("::")
        files[file].append(f"`{name}`")
    return "<br>".join(f"`{file}`: {', '.join(names)}" for file, names in files.items())


def _left_out(tests: list[str], reason: str) -> str:
    return f"not run, since {reason}: {_by_file(tests)}" if tests else ""


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    sys.exit(main())
