"""Files that are on disk when the call returns: the order of the steps, and what a step that fails leaves."""

import os
import stat
from pathlib import Path

import pytest

from functions.adapters.files import replace_file


def test_a_file_is_on_disk_before_its_name_and_its_name_before_the_call_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, steps = tmp_path / "kept.json", list[tuple[str, bool]]()
    sync = os.fsync

    def noted(descriptor: int) -> None:
        kind = "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"
        steps.append((kind, file.exists()))
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    replace_file(file, b"new")

    assert steps == [("file", False), ("folder", True)]
    assert file.read_bytes() == b"new"


def test_a_file_that_cannot_be_written_is_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "kept.json"
    replace_file(file, b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        replace_file(file, b"new")

    assert file.read_bytes() == b"old"
