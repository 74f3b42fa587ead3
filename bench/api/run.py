"""What the HTTP API takes: many who wait, how soon the first event is there, and a burst of messages.

    python bench/api/run.py [--messages 10000] [--answer]

The server runs in a process of its own, over a workflow of one agent; with `--answer`, the burst goes to the real
workflow over the corpus that `make run` has read. Clients share the machine with it. Memory is the server's resident
set. Milliseconds are of this machine and only say whether a bound is met.
"""

import argparse
import asyncio
import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[2]
POLLS, STREAMS, HELD = 1_000, 200, 50
FIRST_EVENTS = 200
CONNECTIONS = 32  # of the burst
QUESTION = "How do I get the n largest elements of a list?"


@dataclass(frozen=True)
class Server:
    """A server at work."""

    process: subprocess.Popen[str]
    host: str
    port: int

    def memory_mb(self) -> float:
        """Its resident set."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("VmRSS:")[2].split()[0]) / 1024


@contextmanager
def running(command: list[str]) -> Iterator[Server]:
    """Start a server, and stop it."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TROUPE_HOME": str(ROOT / ".troupe")}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, env=environment
    ) as process:
        lines = iter(process.stdout or ())
        line = next(line for line in lines if line.startswith("Serving on "))
        host, port = line.strip().removeprefix("Serving on http://").split(":")
        try:
            yield Server(process, host, int(port))
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(30)


class Connection:
    """HTTP/1.1 as bare as it gets, so that the clients cost little beside the server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> None:
        """Send a request."""
        named = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        typed = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
        self._writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{typed}{named}\r\n".encode() + body)
        await self._writer.drain()

    async def head(self) -> tuple[int, dict[str, str]]:
        """The status and the headers of a response."""
        lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
        return int(lines[0].split()[1]), headers

    async def json(self) -> tuple[int, dict[str, str], dict[str, object]]:
        """A whole response."""
        status, headers = await self.head()
        return status, headers, json.loads(await self._reader.readexactly(int(headers["content-length"])))

    async def until(self, sign: bytes) -> None:
        """Read a stream until this is there."""
        await self._reader.readuntil(sign)


@asynccontextmanager
async def connected(server: Server) -> AsyncIterator[Connection]:
    """A connection of its own."""
    reader, writer = await asyncio.open_connection(server.host, server.port)
    try:
        yield Connection(reader, writer)
    finally:
        writer.close()


async def said(connection: Connection, text: str, conversation: str) -> str:
    """A message that is taken, however often the server says to come again; its request."""
    body, key = json.dumps({"text": text}).encode(), uuid.uuid4().hex
    while True:
        await connection.send("POST", f"/conversations/{conversation}/messages", body, Idempotency_Key=key)
        status, headers, taken = await connection.json()
        if status == 202:  # noqa: PLR2004 - taken
            return str(taken["request"])
        if status != 429:  # noqa: PLR2004 - come again
            raise SystemExit(f"{status}: {taken}")
        await asyncio.sleep(float(headers["retry-after"]))


# ------------------------------------------------------------------------------------------------- who waits


@dataclass
class Waiting:
    """What many who wait cost, and whether all were answered."""

    before_mb: float = 0
    open_mb: float = 0
    after_mb: float = 0
    polls: int = 0
    streams: int = 0
    first_alone_ms: list[float] = field(default_factory=list)
    first_among_ms: list[float] = field(default_factory=list)


async def many_wait(server: Server) -> Waiting:
    """Let many wait for requests that end only when all of them are there."""
    found = Waiting()
    found.first_alone_ms = await first_events(server)
    found.before_mb = server.memory_mb()
    async with connected(server) as connection:
        requests = [await said(connection, "hold", "held") for _ in range(HELD)]
    ready = asyncio.Semaphore(0)
    async with asyncio.TaskGroup() as group:
        polls = [group.create_task(poll(server, requests[n % HELD], ready)) for n in range(POLLS)]
        streams = [group.create_task(stream(server, requests[n % HELD], ready)) for n in range(STREAMS)]
        for _ in range(POLLS + STREAMS):
            await ready.acquire()
        found.first_among_ms = await first_events(server)
        found.open_mb = server.memory_mb()
        server.process.send_signal(signal.SIGUSR1)
    found.polls, found.streams = sum(each.result() for each in polls), sum(each.result() for each in streams)
    found.after_mb = server.memory_mb()
    return found


async def poll(server: Server, request: str, ready: asyncio.Semaphore) -> bool:
    """Wait for a request, as often as it takes; whether it was answered."""
    async with connected(server) as connection:
        await connection.send("GET", f"/requests/{request}?wait=30")
        ready.release()
        while True:
            _, _, shown = await connection.json()
            if shown["status"] == "settled":
                return shown["answer"] is not None
            await connection.send("GET", f"/requests/{request}?wait=30")


async def stream(server: Server, request: str, ready: asyncio.Semaphore) -> bool:
    """Watch a request to its end."""
    async with connected(server) as connection:
        await connection.send("GET", f"/requests/{request}/events")
        await connection.head()
        await connection.until(b"event: request\n")
        ready.release()
        await connection.until(b"event: settled\n")
        return True


async def first_events(server: Server) -> list[float]:
    """Milliseconds from a message's 202 to the first event of an agent, one message after the other."""
    times = []
    async with connected(server) as posting:
        for number in range(FIRST_EVENTS):
            request = await said(posting, "hello", f"first{number}")
            began = time.perf_counter()
            async with connected(server) as watching:
                await watching.send("GET", f"/requests/{request}/events")
                await watching.until(b"event: delivery\n")
                times.append((time.perf_counter() - began) * 1000)
    return times


# ------------------------------------------------------------------------------------------------- the burst


@dataclass
class Burst:
    """What a burst took: how many were answered, in how long, and the memory meanwhile."""

    answered: int = 0
    seconds: float = 0
    memory_mb: list[float] = field(default_factory=list)


async def burst(server: Server, messages: int, text: str) -> Burst:
    """Send so many messages as fast as the server takes them, and see each to its answer."""
    found, numbers = Burst(), iter(range(messages))
    began = time.perf_counter()
    sampling = asyncio.create_task(_sample(server, found))
    async with asyncio.TaskGroup() as group:
        workers = [group.create_task(_send(server, numbers, text)) for _ in range(CONNECTIONS)]
    found.answered = sum(each.result() for each in workers)
    found.seconds = time.perf_counter() - began
    sampling.cancel()
    return found


async def _send(server: Server, numbers: Iterator[int], text: str) -> int:
    async with connected(server) as connection:
        requests = [await said(connection, text, f"burst{number}") for number in numbers]
        answered = 0
        for request in requests:
            shown: dict[str, object] = {"status": ""}
            while shown["status"] != "settled":
                await connection.send("GET", f"/requests/{request}?wait=30")
                _, _, shown = await connection.json()
            answered += shown["answer"] is not None
    return answered


async def _sample(server: Server, found: Burst) -> None:
    while True:
        found.memory_mb.append(server.memory_mb())
        await asyncio.sleep(0.2)


# ------------------------------------------------------------------------------------------------- the table


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=10_000, help="of the burst")
    parser.add_argument("--answer", action="store_true", help="send the burst to the real workflow")
    chosen = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    table = Table("what", "measured", "wanted")
    with running([sys.executable, str(ROOT / "bench" / "api" / "server.py")]) as server:
        _show_waiting(table, asyncio.run(many_wait(server)))
        if not chosen.answer:
            _show_burst(table, asyncio.run(burst(server, chosen.messages, "hello")), chosen.messages)
    if chosen.answer:
        troupe = str(Path(sys.executable).with_name("troupe"))
        with running([troupe, "run", "--port", "0"]) as server:
            _show_burst(table, asyncio.run(burst(server, chosen.messages, QUESTION)), chosen.messages)
    Console().print(table)


def _show_waiting(table: Table, found: Waiting) -> None:
    table.add_row("long polls answered, of 1,000 at once", f"{found.polls:,}", "1,000")
    table.add_row("streams that saw the answer, of 200 beside them", f"{found.streams}", "200")
    table.add_row(
        "memory before, while all wait, after, MB",
        f"{found.before_mb:.0f}, {found.open_mb:.0f}, {found.after_mb:.0f}",
        "flat",
    )
    for name, times in (("alone", found.first_alone_ms), ("beside the 1,200", found.first_among_ms)):
        p50, p95 = statistics.median(times), statistics.quantiles(times, n=20)[18]
        table.add_row(f"202 to the first event of an agent, {name}, p50 and p95, ms", f"{p50:.1f}, {p95:.1f}", "p95 20")


def _show_burst(table: Table, found: Burst, messages: int) -> None:
    memory, tenth = found.memory_mb, max(1, len(found.memory_mb) // 10)
    table.add_row(f"answered, of {messages:,} messages in a burst", f"{found.answered:,}", f"{messages:,}")
    table.add_row("messages a second, answered", f"{found.answered / found.seconds:.0f}", "")
    curve = ", ".join(f"{each:.0f}" for each in memory[::tenth])
    table.add_row("memory over the burst, MB", curve, "flat")


if __name__ == "__main__":
    main()
