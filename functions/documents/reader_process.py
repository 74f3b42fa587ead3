"""Parses files in a process of its own, so that a hostile one costs a bounded time and nothing else.

A crafted file can keep a parser busy for hours, or fill the memory. Only a process can be stopped from
outside: this one is started at the first file, serves one after another, and is replaced when it had to be
stopped. It sees no environment variables beyond those that Python needs to start.
"""

import contextlib
import math
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from threading import Timer
from typing import IO, Self

import msgspec

from functions.documents.chunks import Section
from functions.documents.document import Unreadable
from functions.documents.html import read_html
from functions.documents.markdown import read_markdown
from functions.documents.metadata import work_of
from functions.documents.pdf import read_pdf
from functions.documents.text import read_rst, read_text
from functions.events.common import Work

#: Seconds one file may take to parse.
MAX_SECONDS = 60.0
#: Seconds beyond them after which the process ends itself: whoever should have stopped it was killed.
ORPHAN_MARGIN_S = 10
#: Bytes of memory that the process may take, where the platform can hold it to that.
MAX_MEMORY = 4 * 1024**3

Reader = Callable[[bytes], list[Section]]
#: The formats that are read, by the end of a file's name in lower case.
READERS: dict[str, Reader] = {
    ".htm": read_html,
    ".html": read_html,
    ".markdown": read_markdown,
    ".md": read_markdown,
    ".pdf": read_pdf,
    ".rst": read_rst,
    ".txt": read_text,
}

_KEPT_ENVIRONMENT = ("SYSTEMROOT", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")
_LENGTH_BYTES = 8


class _Question(msgspec.Struct, frozen=True):
    suffix: str
    data: bytes
    max_seconds: float


class Parsed(msgspec.Struct, frozen=True):
    """A file as its format's reader understands it: its text, and what it says of itself."""

    sections: list[Section]
    work: Work = Work()


class _Reply(msgspec.Struct, frozen=True):
    parsed: Parsed
    problem: str


class ReaderProcess:
    """Reads one file at a time in another process; close it, or use it in a `with` statement."""

    def __init__(self, *, max_seconds: float = MAX_SECONDS) -> None:
        self._max_seconds = max_seconds
        self._process: subprocess.Popen[bytes] | None = None

    def parse(self, suffix: str, data: bytes) -> Parsed:
        """A file's bytes, read as the format of its suffix (a key of READERS).

        Raises:
            Unreadable: The format's reader refused it, or did not come to an end within the bounds.
        """
        process = self._running()
        # A reader that is stopped closes its pipe: the wait for its reply ends as the wait for a crash does.
        timer = Timer(self._max_seconds, process.kill)
        timer.start()
        try:
            reply = _ask(process, _Question(suffix, data, self._max_seconds))
        except BaseException:
            self.close()  # its reply, if one comes, answers a question that nobody asks any more
            raise
        finally:
            in_time = timer.is_alive()
            timer.cancel()
        if reply is None:
            self.close()
            raise Unreadable(self._stopped(in_time=in_time))
        if reply.problem:
            raise Unreadable(reply.problem)
        return reply.parsed

    def close(self) -> None:
        """Stop the process; the next `parse` would start another."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            for pipe in (process.stdin, process.stdout):
                with contextlib.suppress(OSError):
                    _given(pipe).close()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._process = _started()
        return self._process

    def _stopped(self, *, in_time: bool) -> str:
        if in_time:
            return "stopped its reader, as a file does that takes too much memory or nests too deep; simplify it"
        return f"takes more than {self._max_seconds:g} s to read; split or simplify it"


def serve(questions: IO[bytes], replies: IO[bytes]) -> None:
    """Answer until the questions end: the other process's whole life."""
    decoder = msgspec.msgpack.Decoder(_Question)
    while (frame := _read_frame(questions)) is not None:
        question = decoder.decode(frame)
        _end_after(question.max_seconds + ORPHAN_MARGIN_S)
        _write_frame(replies, msgspec.msgpack.encode(_answer(question)))
        _end_after(0)


def _answer(question: _Question) -> _Reply:
    try:
        sections = READERS[question.suffix](question.data)
        return _Reply(Parsed(sections, work_of(question.suffix, question.data)), "")
    except Unreadable as error:
        return _Reply(Parsed([]), str(error))
    except MemoryError:
        return _Reply(Parsed([]), "needs more memory than one file may take; split it")
    except Exception as error:  # noqa: BLE001 - a parser may raise anything; the file is named and skipped
        return _Reply(Parsed([]), f"cannot be parsed ({type(error).__name__}); check that it opens elsewhere")


def _started() -> subprocess.Popen[bytes]:
    environment = {name: os.environ[name] for name in _KEPT_ENVIRONMENT if name in os.environ}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    return subprocess.Popen(
        [sys.executable, "-P", "-W", "ignore", "-c", "from functions.documents.reader_process import main; main()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def _ask(process: subprocess.Popen[bytes], question: _Question) -> _Reply | None:
    """The reply, or None where the process ended before it gave one."""
    try:
        _write_frame(_given(process.stdin), msgspec.msgpack.encode(question))
        frame = _read_frame(_given(process.stdout))
    except OSError:
        return None
    return None if frame is None else msgspec.msgpack.decode(frame, type=_Reply)


def _write_frame(pipe: IO[bytes], content: bytes) -> None:
    pipe.write(len(content).to_bytes(_LENGTH_BYTES, "big"))
    pipe.write(content)
    pipe.flush()


def _read_frame(pipe: IO[bytes]) -> bytes | None:
    """The next frame, or None where the pipe ended before it was whole."""
    head = pipe.read(_LENGTH_BYTES)
    length = int.from_bytes(head, "big")
    content = pipe.read(length) if len(head) == _LENGTH_BYTES else b""
    return content if content and len(content) == length else None


def _given(pipe: IO[bytes] | None) -> IO[bytes]:
    if pipe is None:
        raise OSError("the process has no pipe")
    return pipe


def _end_after(seconds: float) -> None:
    """Let the system end this process so many seconds from now, even inside a parser written in C; 0: never."""
    if hasattr(signal, "alarm"):  # only some platforms have it
        signal.alarm(math.ceil(seconds))


def _limit_memory() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource  # noqa: PLC0415 - only some platforms have it

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))


def main() -> None:
    """Serve over standard input and output; whatever a parser prints goes nowhere."""
    _limit_memory()
    replies = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    sys.stdout = sys.stderr
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        serve(sys.stdin.buffer, replies)
