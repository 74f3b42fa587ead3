"""`make run` hands a question and a folder to `troupe ask` as they were typed, whatever is in them."""

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HandedOn = Callable[..., list[str]]

#: What a shell or make would read as code, were it ever given to them.
HOSTILE = [
    "What does heapq.nlargest return?",
    """it's "quoted" twice""",
    "costs $5, ${HOME}, $$ and $(HOME)",
    "$(shell touch pwned) $(error stopped) ${info said}",
    "`touch pwned`; touch pwned & touch pwned | touch pwned > pwned",
    "line one\nline two\n\tan indented one",
    "# no comment, \\ no escape, \\n no newline, %s no format",
    "--help",
    "-x",
    "a=b := c ?= d",
    "ends with a backslash \\",
    "*.py ~ ? [a-z] {a,b} !!",
    "größer als 5 €? 日本語 🎭",
]


@pytest.fixture
def handed_on(tmp_path: Path) -> HandedOn:
    """What `make run` hands to its command, with a look at what else it left in the folder."""
    command = tmp_path / "bin" / "troupe"
    command.parent.mkdir()
    program = "import json, os, sys; print(json.dumps([*sys.argv[1:], os.environ['Q'], os.environ['DOCS']]))"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(program)} "$@"\n')
    command.chmod(0o755)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}

    def run(*arguments: str, **environment: str) -> list[str]:
        done = subprocess.run(  # noqa: S603 - that this is safe is what is tested
            ["make", "-f", str(ROOT / "Makefile"), "run", "SET_UP=true", f"BIN={command.parent}", *arguments],  # noqa: S607
            cwd=tmp_path,
            env=inherited | environment,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stderr == ""
        assert [each.name for each in tmp_path.iterdir()] == ["bin"]
        found: list[str] = json.loads(done.stdout)
        return found

    return run


@pytest.mark.parametrize("text", HOSTILE)
def test_what_was_typed_arrives_as_it_was_typed(handed_on: HandedOn, text: str) -> None:
    assert handed_on(f"Q={text}", f"DOCS={text}") == ["ask", text, text]


@pytest.mark.parametrize("text", HOSTILE)
def test_what_is_in_the_environment_arrives_as_it_is(handed_on: HandedOn, text: str) -> None:
    assert handed_on(Q=text, DOCS=text) == ["ask", text, text]


def test_what_was_not_given_is_empty(handed_on: HandedOn) -> None:
    assert handed_on() == ["ask", "", ""]
