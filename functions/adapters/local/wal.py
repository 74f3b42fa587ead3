"""Whether the write-ahead log of a store is whole.

SQLite reads it up to the first frame that is damaged, and forgets without a word what was committed behind that.
"""

import sqlite3
import struct
from contextlib import closing
from pathlib import Path

_HEADER = struct.Struct(">8I")  # magic, format, page size, checkpoint, two salts, two sums
_FRAME = struct.Struct(">6I")  # page, pages after a commit, two salts, two sums
_PAGE = 4096
_MAGIC = (0x377F0682, 0x377F0683)
_READ_TO = slice(16, 20)  # of the index beside the log: the last frame that SQLite found whole
# A power failure may leave the last commit half on disk, of which nobody was told. The one before it was on disk whole.
_TORN = 1


def lost_commits(path: Path) -> int:
    """How many commits in the log of this database cannot be read any more; for a database that nobody has open.

    Raises:
        sqlite3.Error: The database itself cannot be read.
    """
    log = path.with_name(f"{path.name}-wal")
    if not log.exists() or not log.stat().st_size:
        return 0
    with closing(read_only(path)) as connection:
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()  # SQLite reads the log
        index = path.with_name(f"{path.name}-shm").read_bytes()[_READ_TO]
        read = int.from_bytes(index, "little" if struct.pack("=H", 1) == b"\1\0" else "big")
    behind = sum(number > read for number in _commits(log))
    return behind if behind > _TORN else 0


def read_only(path: Path) -> sqlite3.Connection:
    """A connection that changes nothing, and leaves the log as it is when it is closed."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)
    connection.execute("PRAGMA busy_timeout = 10000")
    return connection


def _commits(log: Path) -> list[int]:
    """The frames of this log that end a commit, by number; those of earlier rounds have other salts."""
    with log.open("rb") as file:
        head = file.read(_HEADER.size)
        if len(head) < _HEADER.size:
            return []
        magic, _, page_size, _, *salts = _HEADER.unpack(head)[:6]
        if magic not in _MAGIC:  # the head is damaged: what the first frame says must do
            page_size, salts = _PAGE, list(_FRAME.unpack(file.read(_FRAME.size).ljust(_FRAME.size))[2:4])
            file.seek(_HEADER.size)
        found, number = [], 0
        while len(frame := file.read(_FRAME.size)) == _FRAME.size:
            number += 1
            _, pages, *frame_salts = _FRAME.unpack(frame)[:4]
            if frame_salts != salts:
                break
            if pages:
                found.append(number)
            file.seek(page_size, 1)
    return found
