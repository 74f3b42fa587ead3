"""The user's own folder: which of its files are documents, and their passages.

Nothing outside the folder is read, nothing but regular files is opened, and every document that cannot be
read is named with the reason.
"""

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Self

import msgspec

from functions.documents.chunks import Section, passages_of
from functions.documents.document import Document, Refused, Unreadable
from functions.documents.reader_process import READERS, ReaderProcess
from functions.errors import TroupeError
from functions.events.common import Passage

#: Raise it whenever a reader of this package or the chunker would read the same file differently.
READERS_VERSION = 2
#: Bytes a file may have.
MAX_FILE_BYTES = 50 * 1024**2
#: Entries a folder may have in all; what holds more was hardly meant.
MAX_ENTRIES = 1_000_000
#: Folders of other people's files, beside every folder whose name begins with a dot.
VENDORED = frozenset({"node_modules", "bower_components", "site-packages", "__pycache__"})
#: The file by which a Python environment is known, whatever its name.
_ENVIRONMENT_MARK = "pyvenv.cfg"


@dataclass(frozen=True)
class File:
    """A regular file in one of the formats that are read.

    Attributes:
        modified: The day it was last changed, in UTC: of the work, unless that says another.
    """

    source: str
    path: Path
    fingerprint: str
    size: int
    modified: str
    parser: ReaderProcess

    def read(self) -> Sequence[Passage]:
        """Its passages; see `Document.read`."""
        name = PurePosixPath(self.source)
        suffix = name.suffix.lower()
        parsed = self.parser.parse(suffix, _content(self.path))
        sections, work = parsed.sections, parsed.work
        if not work.modified:
            work = msgspec.structs.replace(work, modified=self.modified)
        if suffix == ".pdf":
            sections = [_below(name.stem, section) for section in sections]
        passages = list(passages_of(self.source, sections, untitled=name.name, work=work))
        if not passages:
            raise Unreadable("holds no text")
        return passages


@dataclass(frozen=True)
class Folder:
    """What a folder holds; close it, or use it in a `with` statement.

    Attributes:
        path: The folder, absolute, links resolved: also a name for its corpus.
        documents: Its files in the formats that are read, sorted by source, with those that are refused.
        ignored: How many of its files are in other formats.
        parser: The process that reads its files, started by the first one that is read.
    """

    path: Path
    documents: tuple[Document, ...]
    ignored: int
    parser: ReaderProcess

    def close(self) -> None:
        """Stop the process that parses."""
        self.parser.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_folder(path: str | os.PathLike[str]) -> Folder:
    """List a folder's documents without opening any.

    Hidden and vendored folders and hidden files are passed over. Links are not followed: one that leads to a
    place inside the folder is passed over, as that is listed itself; one that leads out of it is refused.

    Raises:
        TroupeError: The path is no folder, cannot be listed, or holds more than MAX_ENTRIES.
    """
    root = _root(Path(path))
    parser = ReaderProcess()
    documents: list[Document] = []
    ignored = 0
    for entry in _walk(root):
        document = entry if isinstance(entry, Refused) else _document(root, entry, parser)
        if document is not None:
            documents.append(document)
        elif not isinstance(entry, Refused) and not entry.is_symlink():
            ignored += 1
    return Folder(root, tuple(sorted(documents, key=lambda d: d.source)), ignored, parser)


def _root(path: Path) -> Path:
    try:
        root = path.expanduser().resolve(strict=True)
        is_folder = root.is_dir()
    except (OSError, RuntimeError, ValueError) as error:
        raise TroupeError(
            f"The documents folder {path} cannot be opened ({_reason(error)}); name a folder that exists."
        ) from error
    if not is_folder:
        raise TroupeError(f"{path} is a file; DOCS names a folder, e.g. {path.parent}.")
    return root


def _walk(root: Path) -> Iterator["os.DirEntry[str] | Refused"]:
    """Every entry that is not a folder, and every folder that is refused."""
    folders = [str(root)]
    count = 0
    while folders:
        folder = folders.pop()
        try:
            with os.scandir(folder) as found:
                entries = sorted(found, key=lambda entry: entry.name)
        except OSError as error:
            if folder == str(root):
                raise TroupeError(f"{root} cannot be listed ({_reason(error)}); allow reading it.") from error
            yield Refused(_source(root, folder) + "/", f"cannot be listed ({_reason(error)}); allow reading it")
            continue
        count += len(entries)
        if count > MAX_ENTRIES:
            raise TroupeError(f"{root} holds more than {MAX_ENTRIES:,} files; name a folder with fewer.")
        if folder != str(root) and any(entry.name == _ENVIRONMENT_MARK for entry in entries):
            continue
        visible = [entry for entry in entries if not entry.name.startswith(".") and entry.name not in VENDORED]
        folders.extend(entry.path for entry in visible if _is_folder(entry))
        yield from (entry for entry in visible if not _is_folder(entry))


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _document(root: Path, entry: "os.DirEntry[str]", parser: ReaderProcess) -> Document | None:
    """The document of an entry, or None where it is none: another format, or a link within the folder."""
    source = _source(root, entry.path)
    try:
        if entry.is_symlink():
            return _link(root, entry, source)
        if Path(entry.name).suffix.lower() not in READERS:
            return None
        state = entry.stat(follow_symlinks=False)
    except OSError as error:
        return Refused(source, f"cannot be opened ({_reason(error)})")
    if not stat.S_ISREG(state.st_mode):
        return Refused(source, "is not a regular file; a pipe, socket or device is never opened")
    if state.st_size > MAX_FILE_BYTES:
        return Refused(source, _too_large(state.st_size))
    fingerprint = f"{state.st_size}-{state.st_mtime_ns}-{state.st_ctime_ns}-readers{READERS_VERSION}"
    modified = datetime.fromtimestamp(state.st_mtime, UTC).date().isoformat()
    return File(source, Path(entry.path), fingerprint, state.st_size, modified, parser)


def _link(root: Path, entry: "os.DirEntry[str]", source: str) -> Refused | None:
    """A link is refused where it could be meant as a document or a folder of them, and leads elsewhere."""
    is_document = Path(entry.name).suffix.lower() in READERS
    try:
        target = Path(entry.path).resolve(strict=True)
    except (OSError, RuntimeError):
        return Refused(source, "is a link that leads nowhere or to itself") if is_document else None
    if target.is_relative_to(root) or not (is_document or target.is_dir()):
        return None
    return Refused(source, "is a link that leads out of the folder; copy what it leads to into it")


def _content(path: Path) -> bytes:
    """A file's bytes, if it is still the kind of file that was listed."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    descriptor = os.open(path, flags)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Unreadable("is not a regular file any more")
        content = file.read(MAX_FILE_BYTES + 1)
    if not content:
        raise Unreadable("is empty")
    if len(content) > MAX_FILE_BYTES:
        raise Unreadable(_too_large(len(content)))
    return content


def _below(title: str, section: Section) -> Section:
    return replace(section, headings=(title, *section.headings))


def _too_large(size: int) -> str:
    mib = 1024**2
    return f"is {size / mib:,.0f} MB, at most {MAX_FILE_BYTES // mib} MB are read; split it"


def _source(root: Path, path: str) -> str:
    """The path below the root with `/`; bytes that are no text, and controls, as escapes."""
    relative = Path(path).relative_to(root).as_posix()
    text = os.fsencode(relative).decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _reason(error: Exception) -> str:
    return (getattr(error, "strerror", None) or str(error)).lower()
