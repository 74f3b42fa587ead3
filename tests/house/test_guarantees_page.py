"""docs/guarantees.md says what the conformance suite proves, no more and no less."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
SUITE = ROOT / "tests" / "conformance"
PAGE = (ROOT / "docs" / "guarantees.md").read_text(encoding="utf-8")


def test_the_page_is_what_the_suite_proves() -> None:
    made = subprocess.run(  # noqa: S603 - our own script
        [sys.executable, SUITE / "page.py"], cwd=ROOT, capture_output=True, text=True, check=False, timeout=90
    )
    assert made.returncode == 0, made.stderr
    assert made.stdout == PAGE, "run `make guarantees`"


def test_every_test_that_the_page_names_is_there() -> None:
    cells = re.findall(r"`(\w+\.py)`: ((?:`\w+`(?:, )?)+)", PAGE)
    named = {(file, test) for file, tests in cells for test in re.findall(r"`(\w+)`", tests)}
    assert {test for _, test in named} == set(re.findall(r"`(test_\w+)`", PAGE))
    missing = [f"{file}::{test}" for file, test in named if f"def {test}(" not in (SUITE / file).read_text()]
    assert missing == []
