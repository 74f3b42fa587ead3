"""The command in this process, on a home and a folder of documents of this test's own."""

from pathlib import Path

import pytest
from command import OFFICE, Ran, Troupe
from shelves import carried
from small_encoder import SmallEncoder

from local import workspace
from ops import cli


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    """A folder whose name and contents hold what terminals and rich might take for markup."""
    folder = tmp_path / "my [bold]docs[/]"
    folder.mkdir(parents=True)
    (folder / "office [1].md").write_text(OFFICE, "utf-8")
    (folder / "photo.jpeg").write_bytes(b"\xff\xd8")
    return folder


@pytest.fixture
def troupe(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, docs: Path) -> Troupe:
    """Runs the command as its entry point does."""
    monkeypatch.setattr(workspace, "registered", lambda *_: carried(SmallEncoder()))
    monkeypatch.setenv("TROUPE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("DOCS", str(docs))
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")
    for name in ("Q", "TROUPE_STACK", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str, **environment: str) -> Ran:
        with monkeypatch.context() as patched:
            patched.setattr("sys.argv", ["troupe", *arguments])
            for name, value in environment.items():
                patched.setenv(name, value)
            capsys.readouterr()
            with pytest.raises(SystemExit) as ended:
                cli.main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return Ran(code=ended.value.code if isinstance(ended.value.code, int) else 0, out=said.out, err=said.err)

    return run
