"""The script that a vector server starts by: whole as bash reads it, and its parts as they run."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from shutil import which

import msgspec
import pytest
from recorded_stack import dev, recorded, stack_file

BASH = which("bash") or ""
pytestmark = pytest.mark.skipif(not BASH, reason="bash is not here")
DIGEST = "0123456789abcdef" * 4


def whole(digest: str = "") -> str:
    """The script of the development stack."""
    if not digest:
        found = dev()
    else:
        chosen = stack_file("dev")
        vectors = msgspec.structs.replace(chosen.vectors, release_sha256=digest)
        found = recorded(msgspec.structs.replace(chosen, vectors=vectors))
    return str(found.one("Instance", "vectors").inputs["userData"])


def start() -> str:
    """The part that each start of the server runs."""
    return whole().partition("<<'SCRIPT'\n")[2].partition("\nSCRIPT\n")[0]


def ran(script: str, folder: Path, **commands: str) -> subprocess.CompletedProcess[str]:
    """With these commands, each a line of bash, before all others."""
    for name, does in commands.items():
        (folder / name).write_text(f"#!{BASH}\n{does}\n")
        (folder / name).chmod(0o755)
    given = {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(  # noqa: S603 - bash, and a script of ours
        [BASH, "-c", script], capture_output=True, text=True, env=given, cwd=folder, check=False
    )


@pytest.mark.parametrize("script", [whole, start], ids=["whole", "start"])
def test_bash_can_read_it(script: Callable[[], str]) -> None:
    said = subprocess.run([BASH, "-n"], input=script(), capture_output=True, text=True, check=False)  # noqa: S603 - bash
    assert (said.returncode, said.stderr) == (0, "")


def test_what_is_downloaded_is_what_was_said_or_nothing_is_started(tmp_path: Path) -> None:
    checks = next(line for line in whole(DIGEST).splitlines() if "sha256sum" in line and "qdrant.tar.gz" in line)
    assert whole(DIGEST).index(checks) < whole(DIGEST).index("tar xzf qdrant.tar.gz")
    (tmp_path / "qdrant.tar.gz").write_bytes(b"another release")
    assert ran(f"set -euo pipefail\n{checks}\necho started", tmp_path).stdout == "qdrant.tar.gz: FAILED\n"
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    (tmp_path / "qdrant.tar.gz").write_bytes(b"")
    assert ran(checks.replace(DIGEST, empty), tmp_path).returncode == 0
    assert "| sha256sum -c" not in whole()


@pytest.fixture
def server(tmp_path: Path) -> str:
    """Starts a command that says its key in place of the server."""
    (tmp_path / "qdrant").write_text(f'#!{BASH}\necho "key=$QDRANT__SERVICE__API_KEY"\n')
    (tmp_path / "qdrant").chmod(0o755)
    return start().replace("/usr/local/bin/qdrant", str(tmp_path / "qdrant"))


def test_a_warning_beside_the_key_is_no_part_of_it(server: str, tmp_path: Path) -> None:
    said = ran(server, tmp_path, aws="echo 'a warning' >&2; echo secret")
    assert (said.returncode, said.stdout) == (0, "key=secret\n")


def test_a_secret_without_a_value_gets_one_and_the_server_starts_with_it(server: str, tmp_path: Path) -> None:
    does = (
        f'case "$2" in put-*) cat > {tmp_path}/put;; '
        "*) echo 'An error occurred (ResourceNotFoundException)' >&2; exit 254;; esac"
    )
    said = ran(server, tmp_path, aws=does)
    made = (tmp_path / "put").read_text()
    assert len(made) == 64
    assert (said.returncode, said.stdout) == (0, f"key={made}\n")


def test_a_secret_that_cannot_be_read_is_said_and_not_replaced(server: str, tmp_path: Path) -> None:
    said = ran(server, tmp_path, aws="echo 'AccessDenied' >&2; exit 254")
    assert (said.returncode, said.stdout, said.stderr) == (1, "", "AccessDenied\n")
