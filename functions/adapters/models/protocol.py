"""What travels in chat completions: the types of OpenAI's API reference, as much of them as is used, and their stream.

Every field may be missing or null: endpoints that call themselves compatible leave out what they have no use for.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

MAX_LINE_BYTES = 1024 * 1024
_THINKING, _THOUGHT = "<think>", "</think>"
_BY_NAME = frozenset({"properties", "$defs"})
_LEFT_OUT = frozenset({"default", "title", "description"})  # the first is refused, the others are for people
_FENCED = re.compile(r"```(?:json)?\s*(.*?)\s*```", re.DOTALL | re.IGNORECASE)


class Usage(msgspec.Struct, frozen=True):
    """Tokens, as the endpoint counts them."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class Said(msgspec.Struct, frozen=True):
    """A `delta` of a stream, or the `message` of a whole answer. Some endpoints show how a model reasons, apart."""

    content: str | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    reasoning: str | None = None


class Choice(msgspec.Struct, frozen=True):
    """The one answer that was asked for."""

    delta: Said | None = None
    message: Said | None = None
    finish_reason: str | None = None


class Problem(msgspec.Struct, frozen=True):
    """What an endpoint says is wrong."""

    message: str | None = None
    code: str | int | None = None
    param: str | None = None
    type: str | None = None


class Chunk(msgspec.Struct, frozen=True):
    """A `chat.completion.chunk`, or a whole `chat.completion`; the last one of a stream has the usage and no choice."""

    choices: tuple[Choice, ...] | None = None
    usage: Usage | None = None
    error: Problem | str | None = None


class Failure(msgspec.Struct, frozen=True):
    """The body of an error, in the two shapes that are in use: OpenAI's, and that of validation in front of it."""

    error: Problem | str | None = None
    detail: Any = None

    @property
    def text(self) -> str:
        """What it says, in one line."""
        if isinstance(self.error, Problem):
            parts = (self.error.message, self.error.param, self.error.code)
            return " ".join(str(part) for part in parts if part)
        return self.error or (str(self.detail) if self.detail else "")


class NoEventStreamError(Exception):
    """Bytes that are no stream of server-sent events."""


def event_data(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The data of each server-sent event; comments and other fields are left out.

    An event that the stream ends in the middle of is dropped, as the standard says.

    Raises:
        NoEventStreamError: A line is longer than any event.
    """
    data: list[bytes] = []
    for line in _lines(pieces):
        if line.startswith(b"data:"):
            data.append(line[5:].removeprefix(b" "))
        elif not line and data:
            yield b"\n".join(data)
            data = []


def _lines(pieces: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        *lines, rest = (rest + piece).split(b"\n")
        yield from (line.removesuffix(b"\r") for line in lines)
        if len(rest) > MAX_LINE_BYTES:
            raise NoEventStreamError(f"a line has more than {MAX_LINE_BYTES} bytes")


class WithoutThoughts:
    """Leaves out the `<think>…</think>` that some models open their answer with; fed piece by piece."""

    def __init__(self) -> None:
        self._held = ""
        self._began = False

    def add(self, piece: str) -> str:
        """What is to be shown now that this piece is there."""
        if self._began:
            return piece
        self._held += piece
        start = self._held.lstrip()
        if start.startswith(_THINKING):
            _, thought, said = start.partition(_THOUGHT)
            said = said.lstrip()
            if not thought or not said:
                return ""
            start = said
        elif not start or _THINKING.startswith(start):
            return ""
        self._began = True
        return start

    def rest(self) -> str:
        """What was held back for the beginning of a thought, and is none."""
        start = self._held.lstrip()
        return "" if self._began or start.startswith(_THINKING) else start


def schema_of(shape: type[msgspec.Struct]) -> dict[str, Any]:
    """The JSON Schema of a shape, as strict structured output wants it: every property required, and no other."""
    schema = msgspec.json.schema(shape)
    definitions = schema.pop("$defs", {})
    root = definitions.pop(shape.__name__, schema)
    strict: dict[str, Any] = _strict(root | ({"$defs": definitions} if definitions else {}))
    return strict


def _strict(schema: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    if isinstance(schema, list):
        return [_strict(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: _named(each) if name in _BY_NAME else _strict(each) for name, each in schema.items()}
    made = {name: each for name, each in made.items() if name not in _LEFT_OUT}
    if made.get("type") == "object" and "properties" in made:
        made |= {"required": list(made["properties"]), "additionalProperties": False}
    return made


def _named(schemas: dict[str, Any]) -> dict[str, Any]:
    """Schemas by names that may be any word, also one of JSON Schema's own."""
    return {name: _strict(each) for name, each in schemas.items()}


def json_in(text: str) -> str:
    """The JSON object in what a model wrote, without the fence or the talk around it."""
    fenced = _FENCED.search(text)
    inside = fenced[1] if fenced else text
    first, last = inside.find("{"), inside.rfind("}")
    return inside[first : last + 1] if 0 <= first < last else inside.strip()
