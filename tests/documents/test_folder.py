import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from document_fakes import TENANT, FakeCollection, FakeLedger

from functions.documents import folder as module
from functions.documents import reader_process
from functions.documents.document import Unreadable
from functions.documents.folder import MAX_FILE_BYTES, open_folder
from functions.documents.reader_process import ReaderProcess
from functions.documents.sync import Report, sync
from functions.errors import TroupeError
from functions.events.common import Work

Write = Callable[..., Path]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    found = tmp_path / "docs"
    found.mkdir()
    return found


@pytest.fixture
def write(root: Path) -> Write:
    def writer(name: str, content: str | bytes = "text") -> Path:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return writer


def sources(root: Path) -> list[str]:
    return [document.source for document in open_folder(root).documents]


def read(root: Path, collection: FakeCollection | None = None, ledger: FakeLedger | None = None) -> Report:
    with open_folder(root) as folder:
        return sync(folder.documents, collection or FakeCollection(), ledger or FakeLedger(), tenant=TENANT)


def reasons(root: Path) -> dict[str, str]:
    return {skipped.source: skipped.reason for skipped in read(root).skipped}


def test_every_format_is_read_and_others_are_counted(root: Path, write: Write) -> None:
    for name in ("b.md", "A.MARKDOWN", "c.txt", "d.rst", "e/f.html", "e/a.htm"):
        write(name)
    write("photo.png")
    write("e/data.csv")
    folder = open_folder(root)
    assert [document.source for document in folder.documents] == [
        "A.MARKDOWN",
        "b.md",
        "c.txt",
        "d.rst",
        "e/a.htm",
        "e/f.html",
    ]
    assert folder.ignored == 2
    assert len(read(root).added) == 6


def test_passages_name_their_file_and_their_heading(root: Path, write: Write) -> None:
    write("guide/install.md", "before\n\n# Install\n\nrun it")
    collection = FakeCollection()
    read(root, collection)
    found = {(p.name, p.source, p.text) for p in collection.points[TENANT].values()}
    assert found == {
        ("install.md", "guide/install.md", "before"),
        ("Install", "guide/install.md", "run it"),
    }


def test_reading_twice_gives_the_same_passages(root: Path, write: Write) -> None:
    write("a.md", "# A\n\ntext\n\n# B\n\ntext")
    with open_folder(root) as once, open_folder(root) as again:
        assert once.documents[0].read() == again.documents[0].read()


def test_hidden_and_vendored_folders_are_passed_over(root: Path, write: Write) -> None:
    for name in (".git/a.md", "node_modules/x/a.md", ".venv/a.md", "env/pyvenv.cfg", "env/a.md", ".a.md", "b.md"):
        write(name)
    assert sources(root) == ["b.md"]


@pytest.mark.parametrize("make", [lambda p: p / "missing", lambda p: p / "file.md"], ids=["missing", "file"])
def test_docs_that_are_no_folder_are_one_clear_error(root: Path, write: Write, make: Callable[[Path], Path]) -> None:
    write("file.md")
    with pytest.raises(TroupeError, match=make(root).name):
        open_folder(make(root))


@pytest.mark.parametrize("path", ["~nobody-of-this-name/docs", "a\0b"])
def test_docs_that_cannot_be_a_path_are_one_clear_error(path: str) -> None:
    with pytest.raises(TroupeError):
        open_folder(path)


def test_a_folder_beyond_the_bound_is_refused(root: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_ENTRIES", 3)
    for number in range(4):
        write(f"{number}.md")
    with pytest.raises(TroupeError, match="more than 3 files"):
        open_folder(root)


def test_links_out_of_the_folder_and_to_nowhere_are_refused(root: Path, write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    (tmp_path / "elsewhere").mkdir()
    write("a.md")
    (root / "out.md").symlink_to(tmp_path / "secret.md")
    (root / "away").symlink_to(tmp_path / "elsewhere")
    (root / "loop.md").symlink_to(root / "loop.md")
    (root / "gone.md").symlink_to(root / "nothing.md")
    found = reasons(root)
    assert set(found) == {"out.md", "away", "loop.md", "gone.md"}
    assert "out of the folder" in found["out.md"]
    assert "out of the folder" in found["away"]
    assert "nowhere" in found["loop.md"]


def test_links_within_the_folder_are_read_once_and_their_loops_end(root: Path, write: Write) -> None:
    write("sub/a.md")
    (root / "sub" / "up").symlink_to(root)
    (root / "b.md").symlink_to(root / "sub" / "a.md")
    assert sources(root) == ["sub/a.md"]
    assert open_folder(root).ignored == 0


def test_a_folder_that_is_itself_a_link_is_read(root: Path, write: Write, tmp_path: Path) -> None:
    write("a.md")
    (tmp_path / "link").symlink_to(root)
    assert sources(tmp_path / "link") == ["a.md"]
    assert open_folder(tmp_path / "link").path == root.resolve()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_pipe_is_never_opened(root: Path) -> None:
    os.mkfifo(root / "pipe.md")
    assert "not a regular file" in reasons(root)["pipe.md"]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_a_file_that_becomes_a_pipe_or_a_link_is_not_read(root: Path, write: Write, tmp_path: Path) -> None:
    (tmp_path / "secret.md").write_text("secret")
    first, second = write("a.md"), write("b.md")
    with open_folder(root) as folder:
        first.unlink()
        os.mkfifo(first)
        second.unlink()
        second.symlink_to(tmp_path / "secret.md")
        collection = FakeCollection()
        report = sync(folder.documents, collection, FakeLedger(), tenant=TENANT)
    assert [skipped.source for skipped in report.skipped] == ["a.md", "b.md"]
    assert not collection.points


def test_a_file_that_vanishes_is_named_and_the_rest_is_read(root: Path, write: Write) -> None:
    gone = write("a.md")
    write("b.md")
    with open_folder(root) as folder:
        gone.unlink()
        report = sync(folder.documents, FakeCollection(), FakeLedger(), tenant=TENANT)
    assert report.added == ["b.md"]
    assert [skipped.source for skipped in report.skipped] == ["a.md"]


def test_a_file_without_permission_is_named_and_tried_again(
    root: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write("a.md")
    collection, ledger = FakeCollection(), FakeLedger()
    with monkeypatch.context() as patched:

        def refuse(*_: object) -> int:
            raise PermissionError(13, "Permission denied")

        patched.setattr(module.os, "open", refuse)
        report = read(root, collection, ledger)
    assert "permission denied" in report.skipped[0].reason
    assert read(root, collection, ledger).added == ["a.md"]


def test_a_folder_without_permission_is_named(root: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    write("closed/a.md")
    write("b.md")
    scandir = os.scandir

    def refuse(path: str) -> Iterator[os.DirEntry[str]]:
        if path.endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(module.os, "scandir", refuse)
    found = open_folder(root)
    assert [document.source for document in found.documents] == ["b.md", "closed/"]
    with pytest.raises(Unreadable, match="permission denied"):
        found.documents[1].read()


def test_files_that_hold_no_document_are_named_with_the_reason(root: Path, write: Write) -> None:
    write("empty.md", "")
    write("blank.txt", " \n\n ")
    write("binary.txt", b"\x89PNG\r\n\0\0")
    write("page.pdf", "<html><p>text")
    with write("large.txt").open("ab") as file:
        file.truncate(MAX_FILE_BYTES + 1)
    found = reasons(root)
    expected = {
        "empty.md": "is empty",
        "blank.txt": "no text",
        "binary.txt": "binary",
        "page.pdf": "not a PDF",
        "large.txt": "at most 50 MB",
    }
    assert {source for source, reason in expected.items() if reason in found[source]} == set(expected)


@pytest.mark.skipif(os.name == "nt", reason="file names are text there")
def test_a_name_that_is_no_text_or_holds_controls_is_escaped(root: Path, write: Write) -> None:
    write("bell\x1b[31m\n.md")
    with suppress(OSError):  # some file systems refuse it, which is as well
        (Path(os.fsdecode(os.fsencode(root) + b"/caf\xe9.txt"))).write_text("text")
    for source in read(root).added:
        assert source.isprintable()
        assert source.encode()


def test_a_line_of_ten_million_characters_is_read(root: Path, write: Write) -> None:
    write("line.txt", "word " * 2_000_000)
    with open_folder(root) as folder:
        assert len(folder.documents[0].read()) > 9_000


def test_a_file_that_keeps_its_parser_busy_is_stopped_and_the_next_one_is_read() -> None:
    started = time.monotonic()
    with ReaderProcess(max_seconds=1.0) as parser:
        assert parser.parse(".txt", b"before")
        with pytest.raises(Unreadable, match="more than 1 s"):
            parser.parse(".html", b"<![CDATA[" * 2_000_000)
        assert parser.parse(".txt", b"after")
    assert time.monotonic() - started < 30


def test_a_parser_that_dies_costs_one_file(monkeypatch: pytest.MonkeyPatch) -> None:
    from functions.documents import reader_process  # noqa: PLC0415 - patched below

    with ReaderProcess() as parser:
        assert parser.parse(".txt", b"before")
        ask = reader_process._ask

        def killed(process: "reader_process.subprocess.Popen[bytes]", question: object) -> object:
            process.kill()
            process.wait()
            return ask(process, question)

        with monkeypatch.context() as patched:
            patched.setattr(reader_process, "_ask", killed)
            with pytest.raises(Unreadable, match="stopped its reader"):
                parser.parse(".txt", b"text")
        assert parser.parse(".txt", b"after")


def test_the_parser_sees_no_secrets_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_KEY", "secret")
    seen: dict[str, object] = {}
    popen = reader_process.subprocess.Popen

    def record(*args: object, **options: object) -> object:
        seen.update(options)
        return popen(*args, **options)

    monkeypatch.setattr(reader_process.subprocess, "Popen", record)
    with ReaderProcess() as parser:
        parser.parse(".txt", b"text")
    assert isinstance(seen["env"], dict)
    assert "API_KEY" not in seen["env"]


@pytest.mark.skipif(not hasattr(signal, "alarm"), reason="the platform has no alarm")
def test_a_parser_whose_parent_was_killed_ends_itself() -> None:
    code = (
        "from functions.documents import reader_process as reader; reader.ORPHAN_MARGIN_S = 0;"
        "reader.READERS['.txt'] = lambda data: [reader for _ in iter(int, 1)]; reader.main()"
    )
    question = reader_process.msgspec.msgpack.encode(reader_process._Question(".txt", b"text", 1.0))
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parser:  # noqa: S603 - our own
        assert parser.stdin is not None
        reader_process._write_frame(parser.stdin, question)
        assert parser.wait(timeout=30) == -signal.SIGALRM


def test_each_passage_knows_its_work_and_the_day_its_file_was_changed(root: Path, write: Write) -> None:
    for name, text in {"a.txt": "text", "b.md": "---\ntitle: B\nauthor: Ada\nupdated: 2020-02-02\n---\ntext"}.items():
        os.utime(write(name, text), (1714557600, 1714557600))
    with open_folder(root) as folder:
        works = {document.source: {passage.work for passage in document.read()} for document in folder.documents}
    assert works == {
        "a.txt": {Work(modified="2024-05-01")},
        "b.md": {Work(title="B", authors=("Ada",), modified="2020-02-02")},
    }
