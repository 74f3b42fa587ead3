"""What a folder of blobs removes: what it named, and nothing beside it."""

from pathlib import Path

import pytest

from functions.adapters.local.blobs import LocalBlobs, LocalTexts


@pytest.mark.parametrize("name", ["../beside", "/etc/hosts", "..", ".", "", "a/b", "a.b", ".../x", "..a"])
def test_a_name_that_no_blob_has_is_refused_and_nothing_is_removed(tmp_path: Path, name: str) -> None:
    beside = tmp_path / "beside"
    beside.write_text("mine")
    blobs = LocalBlobs(tmp_path / "blobs")
    blobs.put("there", b"data")
    with pytest.raises(KeyError):
        blobs.remove(["there", name])
    assert beside.read_text() == "mine"
    assert blobs.get("there") == b"data"


def test_what_is_named_goes_and_what_is_gone_is_no_error(tmp_path: Path) -> None:
    texts = LocalTexts(tmp_path)
    for key in ("one-a", "one-b", "two-a", "six-a"):
        texts.put(key, b"data")
    (tmp_path / ".two-ax1_y2z3").write_bytes(b"half of it")
    named = texts.keys("one-", "two-")
    assert named == [".two-ax1_y2z3", "one-a", "one-b", "two-a"]
    for _ in range(2):
        texts.remove(named)
        assert texts.keys("") == ["six-a"]


def test_nothing_to_remove_costs_no_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = LocalTexts(tmp_path)
    monkeypatch.setattr("os.fsync", lambda _: pytest.fail("synced"))
    texts.remove([])
    assert texts.keys() == []
