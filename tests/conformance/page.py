"""Prints docs/guarantees.md: which test proves which guarantee on which target, collected and not run."""

import sys
from collections import defaultdict
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
HEAD = """# Guarantees

What holds on every target, and the tests that prove it. Each runs on every target that it names, with
`make test`. This page is made by `make guarantees` from the marks on the tests of `tests/conformance`.

| target | what it is |
|---|---|
| `local` | one machine: the shipped runtime over the shipped SQLite store |
| `memory` | no product: single-item conditional writes, an end in separate steps, a bus that repeats and reorders |
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
    from targets import ABSENT, TARGETS  # noqa: PLC0415 - its folder is on the path once pytest has collected

    targets = [*TARGETS, *ABSENT]
    rows = [HEAD]
    rows += [f"| `{name}` | not run: {reason} |\n" for name, reason in ABSENT.items()]
    rows += ["\n| guarantee | " + " | ".join(targets) + " |\n", "|---" * (len(targets) + 1) + "|\n"]
    for name, sentence in sorted(collected.sentences.items()):
        proofs = collected.proofs[name]
        cells = [f"not run: {ABSENT[target]}" if target in ABSENT else _cell(proofs, target) for target in targets]
        rows.append(f"| **{name}** {sentence} | " + " | ".join(cells) + " |\n")
    return "".join(rows)


def _cell(proofs: Proofs, target: str) -> str:
    every = {test for tests in proofs.values() for test in tests}
    left_out = sorted(every - set(proofs[target]))
    return "<br>".join(
        [
            *(f"`{test}`" for test in proofs[target]),
            *(f"not run, its clock cannot be set: `{test}`" for test in left_out),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
