"""What a person can do where SQLite cannot use the file; for a mistake in a statement there is nothing."""

import sqlite3
from pathlib import Path

_PRIMARY = 0xFF  # the rest of a result code says more of the same
_MENDED_BY = {
    sqlite3.SQLITE_FULL: "free space there",
    sqlite3.SQLITE_IOERR: "see that its disk works, and that no quota or limit on the size of files is reached",
    sqlite3.SQLITE_READONLY: "see that it may be written",
    sqlite3.SQLITE_PERM: "see that it may be written",
    sqlite3.SQLITE_AUTH: "see that it may be written",
    sqlite3.SQLITE_CANTOPEN: "see that it and its folder are there and may be written",
    sqlite3.SQLITE_BUSY: "another process held it for too long: see what `troupe doctor` says of who uses it",
    sqlite3.SQLITE_PROTOCOL: "another process held it for too long: see what `troupe doctor` says of who uses it",
    sqlite3.SQLITE_NOMEM: "this machine has no memory left: free some",
    sqlite3.SQLITE_CORRUPT: "it is damaged: stop whoever uses it, and see what `troupe doctor` says to do",
    sqlite3.SQLITE_NOTADB: "it is damaged: stop whoever uses it, and see what `troupe doctor` says to do",
}


def mended_by(error: BaseException) -> str:
    """What to do about an error of SQLite; empty where the file is not the cause."""
    code = getattr(error, "sqlite_errorcode", None)
    if not isinstance(error, sqlite3.Error) or code is None:
        return ""
    return _MENDED_BY.get(code & _PRIMARY, "")


def restore(path: Path) -> str:
    """What to do about a store that is damaged."""
    return (
        f"move the folder {path.parent} away to start anew, or put a copy of it there that was made before "
        "(docs/operations.md)"
    )
