"""A stack on the emulator with all that belongs to it: vectors, an API key, documents, and somebody who asks."""

import json
import platform
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import websockets.sync.client
from emulated.deployment import STACK, Deployment, Report
from ministack import REGION, ministack
from qdrant_server import qdrant_server

TENANT, KEY = "demo", "a-key-for-whoever-plays"
KEYS_SECRET: Final = f"troupe/{STACK}/api-keys"
SETTLES_S: Final = 90.0
#: Small enough to read, and with an answer to each question below.
DOCUMENTS: Final[Mapping[str, str]] = {
    "tides.md": (
        "# Tides\n\nTides are caused by the gravity of the Moon and of the Sun. The Moon has the larger share, since "
        "it is nearer.\n\nA spring tide comes when the Sun and the Moon pull in one line, at new and at full moon.\n"
    ),
    "bridges.md": (
        "# Bridges\n\nA suspension bridge hangs its deck from cables that run over towers.\n\nAn arch bridge carries "
        "its load by compression along the arch into the abutments.\n"
    ),
    "bread.txt": (
        "Sourdough rises by wild yeast and by bacteria that make lactic acid. The acid makes the bread keep longer.\n\n"
        "A baker feeds the starter with flour and water every day.\n"
    ),
}
QUESTION: Final = "What causes tides, and when does a spring tide come?"


class Answered(msgspec.Struct, frozen=True):
    """What the API answered."""

    status: int
    body: Any


class Played:
    """A deployed stack, and its caller."""

    def __init__(self, deployment: Deployment, settings: Mapping[str, Any], report: Report) -> None:
        self.deployment = deployment
        self.settings = settings
        self.report = report
        self.gate = deployment.gate
        (api,) = (each for each in self._apis("HTTP"))
        (socket,) = (each for each in self._apis("WEBSOCKET"))
        self.url, self.socket_url = self._stage_of(api), self._stage_of(socket).replace("http:", "ws:")

    def call(
        self, method: str, path: str, body: object = None, *, key: str = KEY, headers: Mapping[str, str] | None = None
    ) -> Answered:
        """One call of the HTTP API."""
        sent = {"content-type": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
        request = urllib.request.Request(  # noqa: S310 - this machine's
            self.url + path,
            None if body is None else json.dumps(body).encode(),
            {**sent, **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310 - as above
                return Answered(answer.status, _read(answer.read()))
        except urllib.error.HTTPError as error:
            with error:
                return Answered(error.code, _read(error.read()))

    def send(self, documents: Mapping[str, str], collection: str = "documents") -> dict[str, Any]:
        """Documents by the API; the settled request."""
        sent = [{"name": name, "text": text, "format": "text"} for name, text in documents.items()]
        accepted = self.call("POST", f"/collections/{collection}/documents", {"documents": sent})
        assert accepted.status == 202, accepted
        return self.settled(accepted.body["request"])

    def put(self, name: str, text: str) -> None:
        """A document into the bucket, as somebody with the console would."""
        (bucket,) = self.deployment.all("aws:s3/bucket:Bucket")
        self.deployment.client("s3").put_object(
            Bucket=bucket.outputs["bucket"], Key=f"documents/{TENANT}/{name}", Body=text.encode()
        )

    def ask(self, text: str = QUESTION, *, workflow: str = "research", conversation: str = "c1") -> dict[str, Any]:
        """A question by HTTP; the settled request."""
        return self.settled(self.begin(text, workflow=workflow, conversation=conversation))

    def begin(self, text: str = QUESTION, *, workflow: str = "research", conversation: str = "c1") -> str:
        """A question by HTTP; the id of its request."""
        accepted = self.call("POST", f"/conversations/{conversation}/messages", {"text": text, "workflow": workflow})
        assert accepted.status == 202, accepted
        request: str = accepted.body["request"]
        return request

    def settled(self, request: str) -> dict[str, Any]:
        """A request, once it is settled."""
        until = time.monotonic() + SETTLES_S
        while True:
            answered = self.call("GET", f"/requests/{request}?wait=20")
            assert answered.status == 200, answered
            found: dict[str, Any] = answered.body
            if found["status"] == "settled":
                return found
            if time.monotonic() > until:
                raise AssertionError(f"not settled after {SETTLES_S:.0f} s: {found}")

    def watch(self, text: str = QUESTION, *, workflow: str = "research", conversation: str = "w1") -> list[Any]:
        """A question by the WebSocket; what was pushed, up to the settlement."""
        with self.connected() as socket:
            message = {"message": {"text": text, "workflow": workflow}, "conversation": conversation, "id": "1"}
            socket.send(json.dumps(message))
            pushed: list[Any] = []
            while not pushed or pushed[-1]["event"] not in ("settled", "problem"):
                pushed.append(json.loads(socket.recv(timeout=SETTLES_S)))
            return pushed

    @contextmanager
    def connected(self, key: str = KEY) -> Iterator[websockets.sync.client.ClientConnection]:
        """A connection of the WebSocket."""
        headers = {"authorization": f"Bearer {key}"}
        with websockets.sync.client.connect(self.socket_url, additional_headers=headers) as socket:
            yield socket

    def log(self, function: str) -> str:
        """What a function wrote."""
        logs, group = self.deployment.client("logs"), f"/aws/lambda/troupe-{STACK}-{function.replace('_', '-')}"
        return "\n".join(each["message"] for each in logs.filter_log_events(logGroupName=group)["events"])

    def _apis(self, protocol: str) -> list[str]:
        apis = self.deployment.all("aws:apigatewayv2/api:Api")
        return [each.id for each in apis if each.inputs["protocolType"] == protocol]

    def _stage_of(self, api: str) -> str:
        stages = self.deployment.all("aws:apigatewayv2/stage:Stage")
        (stage,) = (each for each in stages if each.inputs["apiId"] == api)  # type: ignore[index]  # as the program says
        return f"{self.deployment.url}/_aws/execute-api/{api}/{stage.id}"


def settings(vectors: str) -> dict[str, Any]:
    """The stack file of an emulated stack: this machine's processor, vectors by URL."""
    return {
        "region": REGION,
        "architecture": "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64",
        "network": {"vpc": False},
        "vectors": {"kind": "url", "store": "qdrant", "url": vectors},
        "secrets": {"api-keys": KEYS_SECRET},
        "logLevel": "INFO",
    }


@contextmanager
def played(folder: Path, program: Callable[[], Any]) -> Iterator[Played]:
    """An emulator with the program deployed onto it, and a vector store beside it."""
    with ExitStack() as stack:
        emulator = stack.enter_context(
            ministack(
                folder / "emulator",
                AUTH="true",
                LAMBDA_EXECUTOR="local",
                MINISTACK_HOST="127.0.0.1",
                MINISTACK_REGION=REGION,
                S3_DATA_DIR=str(folder / "s3"),
                STATE_DIR=str(folder / "state"),
            )
        )
        vectors = stack.enter_context(qdrant_server(folder / "vectors"))
        deployment = Deployment(emulator)
        stack.callback(deployment.close)
        # What the page of the settings asks for before the first deployment.
        deployment.client("secretsmanager").create_secret(Name=KEYS_SECRET, SecretString=f"{TENANT}={KEY}")
        given = settings(vectors.url)
        yield Played(deployment, given, deployment.deploy(program, given))


def _read(body: bytes) -> Any:  # noqa: ANN401 - JSON, or a text
    try:
        return json.loads(body)
    except ValueError:
        return body.decode("utf-8", "replace")
