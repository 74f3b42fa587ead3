"""What a terminal would obey or hide is neither stored nor shown."""

from pathlib import Path

import pytest
from command import Troupe

from ops import cli

HOSTILE = "\x1b]0;title\x07 the canteen is \x1b[31mopen \u202eon Mondays"


def test_what_a_terminal_would_obey_is_not_remembered_and_not_shown(troupe: Troupe) -> None:
    told = troupe("ask", f"Remember that {HOSTILE}")
    found = troupe("ask", "When is the canteen open?")
    for ran in (told, found, troupe("ask", "When is the canteen open?", "--json")):
        assert ran.code == 0
        assert not {"\x1b", "\x07", "\u202e"} & set(ran.out)
    assert "on Mondays" in found.out


def test_many_files_that_cannot_be_read_do_not_drown_the_answer(troupe: Troupe, docs: Path) -> None:
    for number in range(30):
        (docs / f"empty{number:02}.md").write_bytes(b"")
    ran = troupe("ask", "When does the office open?")
    assert "30 files" in ran.out
    assert "empty09.md" in ran.out
    assert "empty10.md" not in ran.out
    assert "`troupe ingest` names them all" in ran.out
    assert "empty29.md" in troupe("ingest").out


def test_an_output_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full() -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cli, "app", full)
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == cli.EXIT_TO_MEND
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert "Traceback" not in said
