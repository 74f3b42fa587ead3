"""What our REST adapter adds to a call, beside Qdrant's own client: both against one server that answers at once.

Run: `uv run --group stores python bench/qdrant_rest/run.py`. The server is a process of its own that sends back answers
of the right size without an engine behind them, so that what is measured is the client. Rounds alternate, so that
neither has the quieter machine. `floor` is the same bytes over a bare socket.
"""

import json
import multiprocessing
import socket
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable
from multiprocessing.connection import Connection

import numpy as np
from qdrant_client import QdrantClient, models

from functions.adapters.vectors.qdrant import QdrantStore
from functions.ports.vector_stores import Layout, Point, Query

DIMENSION, FOUND, STORED = 384, 10, 100
ROUNDS, CALLS = 10, 30
LAYOUT = Layout(name="documents_v1", encoder="bench.1", dimension=DIMENSION)
TEXT = "what a passage says, in as many words as it usually has. " * 12


def main() -> None:
    """Measure, and print a table."""
    receive, send = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.Process(target=_serve, args=(send,), daemon=True)
    server.start()
    port = receive.recv()
    try:
        _compare(port)
    finally:
        server.terminate()
        server.join()
    for name, code in (
        ("QdrantStore", "from functions.adapters.vectors.qdrant import QdrantStore; QdrantStore('http://localhost:1')"),
        (
            "qdrant-client",
            "from qdrant_client import QdrantClient; QdrantClient('http://localhost:1', check_compatibility=False)",
        ),
    ):
        print(f"loaded and opened, {name}: {_loading_ms(code):.0f} ms of the processor")


def _compare(port: int) -> None:
    store = QdrantStore(f"http://127.0.0.1:{port}")
    client = QdrantClient(url=f"http://127.0.0.1:{port}", check_compatibility=False)
    vector = np.random.default_rng(1).normal(size=DIMENSION).astype(np.float32)
    numbers = vector.tolist()
    ids = [str(uuid.UUID(int=n)) for n in range(STORED)]
    points = [Point(id=each, vector=vector, fields={"text": TEXT}) for each in ids]
    structs = [models.PointStruct(id=each, vector={"dense": numbers}, payload={"text": TEXT}) for each in ids]
    bare = _bare(port)
    calls: dict[str, dict[str, Callable[[], object]]] = {
        f"search, {FOUND} of {DIMENSION} dimensions": {
            "QdrantStore": lambda: store.search(LAYOUT, [Query(vector=vector, limit=FOUND)]),
            "qdrant-client": lambda: client.query_batch_points(
                "documents_v1", [models.QueryRequest(query=numbers, using="dense", limit=FOUND, with_payload=True)]
            ),
            "floor": lambda: bare("POST", "/points/query/batch", numbers),
        },
        f"upsert of {STORED} points": {
            "QdrantStore": lambda: store.upsert(LAYOUT, points),
            "qdrant-client": lambda: client.upsert("documents_v1", structs, wait=True),
        },
        "count": {
            "QdrantStore": lambda: store.count(LAYOUT),
            "qdrant-client": lambda: client.count("documents_v1", exact=True),
            "floor": lambda: bare("POST", "/points/count", []),
        },
    }
    print("| call | who | p50, ms | p99, ms | of the processor, p50, ms |\n|---|---|---|---|---|")
    for call, who in calls.items():
        for name, times in _measured(who).items():
            wall, processor = zip(*times, strict=True)
            figures = statistics.median(wall), np.percentile(wall, 99), statistics.median(processor)
            print(f"| {call} | {name} | " + " | ".join(f"{each:.2f}" for each in figures) + " |")


def _measured(who: dict[str, Callable[[], object]]) -> dict[str, list[tuple[float, float]]]:
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in who}
    for round_ in range(ROUNDS + 1):  # the first one warms up
        for name, call in who.items():
            for _ in range(CALLS):
                began, busy = time.perf_counter(), time.thread_time()
                call()
                if round_:
                    times[name].append(((time.perf_counter() - began) * 1_000, (time.thread_time() - busy) * 1_000))
    return times


def _bare(port: int) -> Callable[[str, str, list[float]], bytes]:
    wire = socket.create_connection(("127.0.0.1", port))
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(method: str, path: str, numbers: list[float]) -> bytes:
        body = json.dumps({"numbers": numbers}).encode()
        head = f"{method} /collections/documents_v1{path} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        wire.sendall(head.encode() + body)
        return _message(wire)

    return call


def _loading_ms(code: str) -> float:
    times = []
    for _ in range(3):
        timed = f"import time; began = time.process_time()\n{code}\nprint((time.process_time() - began) * 1000)"
        ran = subprocess.run([sys.executable, "-c", timed], capture_output=True, text=True, check=True)
        times.append(float(ran.stdout))
    return statistics.median(times)


def _serve(started: Connection) -> None:
    """Answers by the path, one connection a thread."""
    listening = socket.create_server(("127.0.0.1", 0))
    started.send(listening.getsockname()[1])
    answers = {path: _http(result) for path, result in _results().items()}
    while True:
        wire, _ = listening.accept()
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_answer, args=(wire, answers), daemon=True).start()


def _answer(wire: socket.socket, answers: dict[str, bytes]) -> None:
    while message := _message(wire):
        method, path = message.split(b" ", 2)[:2]
        call = path.decode().partition("?")[0].removeprefix("/collections/documents_v1")
        wire.sendall(answers[f"{method.decode()} {call}"])


def _results() -> dict[str, object]:
    found = [
        {"id": str(uuid.UUID(int=n)), "version": 0, "score": 1 - n / 100, "payload": {"text": TEXT, "source": "x"}}
        for n in range(FOUND)
    ]
    made = {"encoder": LAYOUT.encoder, "dimension": DIMENSION, "name": LAYOUT.name}
    return {
        "GET ": {"config": {"metadata": {"troupe": made}}},
        "POST /points/query/batch": [{"points": found}],
        "PUT /points": {"operation_id": 1, "status": "completed"},
        "POST /points/count": {"count": STORED},
    }


def _http(result: object) -> bytes:
    body = json.dumps({"result": result, "status": "ok", "time": 0.0}).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n" % len(body) + body


def _message(wire: socket.socket) -> bytes:
    """Head and body of one message; empty where the connection ended."""
    message = b""
    while b"\r\n\r\n" not in message:
        piece = wire.recv(1 << 20)
        if not piece:
            return b""
        message += piece
    head, _, body = message.partition(b"\r\n\r\n")
    lengths = [line.split(b":")[1] for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    missing = (int(lengths[0]) if lengths else 0) - len(body)
    while missing > 0:
        piece = wire.recv(1 << 20)
        message, missing = message + piece, missing - len(piece)
    return message


if __name__ == "__main__":
    main()
