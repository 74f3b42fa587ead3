"""Which encoders a stack declares beside its own: one TOML file, read once, with every problem of it at once.

A key never stands in the file. What does is a reference to it, `env:NAME`, which is looked up for each call.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import msgspec

from functions.adapters.models.settings import ModelSettingsError, Secret, url_problems
from functions.ports.encoders import EncoderError

FILE: Final = "TROUPE_ENCODERS"
ENGINE: Final = "TROUPE_ENCODER_ENGINE"
ENGINES: Final = ("onnxruntime", "sentence-transformers")
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_REVISION: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
_REFERENCE: Final = re.compile(r"env:([A-Za-z_][A-Za-z0-9_]*)")
_EMBEDDINGS: Final = "/embeddings"
#: What each number may be, and what it is when the file does not say; a dimension has to be said.
_NUMBERS: Final = {
    "dimension": (1, 65536, None),
    "max_characters": (1, 1_000_000, 8000),
    "max_texts": (1, 2048, 64),
    "timeout_s": (1, 600, 30),
}
_TEXTS: Final = ("url", "model", "revision", "precision", "pooling", "key")


class EncoderSettingsError(EncoderError):
    """The settings of encoders cannot be used; the message lists everything wrong with them."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """A model behind an embeddings endpoint.

    Attributes:
        name: What a person types for it.
        url: Of the endpoint, up to and with `/embeddings`.
        model: As the endpoint knows it.
        revision: Of the model, as whoever wrote the file calls it: where it changes, the vectors are others.
        precision: Of the weights, as far as it is known.
        pooling: How tokens become one vector, as far as it is known.
        dimension: The length of its vectors.
        shortened: Whether the endpoint is asked for that length: it has another one of its own.
        key: Where the key is; None where there is none.
        max_characters: Where a text is cut.
        max_texts: How many a call holds at most.
        timeout_s: Of a call with all that is tried again.
    """

    name: str
    url: str
    model: str
    revision: str
    precision: str
    pooling: str
    dimension: int
    shortened: bool
    key: Secret | None
    max_characters: int
    max_texts: int
    timeout_s: float

    @property
    def version(self) -> str:
        """Names model, dimension, revision, precision and pooling: two models' vectors never meet."""
        model = re.sub(r"[^a-z0-9]+", "-", self.model.lower()).strip("-")
        return f"{model}-{self.dimension}.{self.revision}.{self.precision}.{self.pooling}"


def engine(environment: Mapping[str, str]) -> Literal["onnxruntime", "sentence-transformers"]:
    """What makes the vectors of the default encoder.

    Raises:
        EncoderSettingsError: The environment names another.
    """
    named = environment.get(ENGINE, "").strip() or ENGINES[0]
    if named not in ENGINES:
        raise EncoderSettingsError(f"{ENGINE} is {named!r}: choose one of {', '.join(ENGINES)}")
    return named  # type: ignore[return-value]  # one of the two


def endpoints(environment: Mapping[str, str]) -> tuple[Endpoint, ...]:
    """The endpoints of the file that `TROUPE_ENCODERS` names; none where it names none.

    Raises:
        EncoderSettingsError: With everything that is wrong.
    """
    file = environment.get(FILE, "").strip()
    if not file:
        return ()
    found, problems = [], []
    for name, table in _tables(file).items():
        wrong = list(_problems(name, table))
        if not wrong:
            found.append(_endpoint(name, table, environment))
            wrong = list(_environment_problems(found[-1]))
        problems += [f"{name}: {each}" for each in wrong]
    if problems:
        raise EncoderSettingsError(f"the encoders in {file} cannot be used: " + "; ".join(problems))
    return tuple(found)


def _tables(file: str) -> dict[str, Any]:
    try:
        with Path(file).open("rb") as opened:
            return tomllib.load(opened)
    except OSError as error:
        raise EncoderSettingsError(
            f"{FILE} names {file}, which cannot be read ({error.strerror or error}): name a TOML file"
        ) from error
    except (ValueError, RecursionError) as error:  # tomllib's own error and that of UTF-8 are ValueErrors
        raise EncoderSettingsError(f"{file} is no TOML: {error}") from error


def _problems(name: str, table: object) -> Iterator[str]:
    if not _NAME.fullmatch(name):
        yield "a name is made of small letters, digits and hyphens, 32 at most, and begins with a letter"
    if not isinstance(table, dict):
        yield f"is no table: write [{name}] and its settings below"
        return
    known = {*_TEXTS, *_NUMBERS, "shortened"}
    unknown = sorted(set(table) - known)
    if unknown:
        yield f"{', '.join(unknown)} is not known: the settings are {', '.join(sorted(known))}"
    wrong = [key for key in _TEXTS if not isinstance(table.get(key, ""), str)]
    if wrong:
        yield f"{', '.join(wrong)} must be text"
        return
    yield from _text_problems(table)
    for key, (least, most, usual) in _NUMBERS.items():
        value = table.get(key, usual)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            yield f"{key} must be a whole number from {least} to {most}"
    if not isinstance(table.get("shortened", False), bool):
        yield "shortened must be true or false"


def _text_problems(table: Mapping[str, Any]) -> Iterator[str]:
    key = table.get("key", "")
    yield from url_problems(table.get("url", "").strip(), setting="url", key="key", has_key=bool(key))
    model = table.get("model", "")
    if not model.strip() or not model.isprintable():
        yield "model must be the name of the model, as the endpoint knows it"
    for part, usual in (("revision", None), ("precision", "served"), ("pooling", "served")):
        if not _REVISION.fullmatch(table.get(part, usual) or ""):
            yield f"{part} must be 1 to 32 small letters, digits and hyphens: it becomes part of the version"
    if key and not _REFERENCE.fullmatch(key):
        yield "key must be a reference such as env:OPENAI_API_KEY: the key itself never stands in a file"


def _endpoint(name: str, table: Mapping[str, Any], environment: Mapping[str, str]) -> Endpoint:
    reference = _REFERENCE.fullmatch(table.get("key", ""))
    numbers = {key: table.get(key, usual) for key, (_, _, usual) in _NUMBERS.items()}
    return Endpoint(
        name=name,
        url=_embeddings_url(table["url"].strip()),
        model=table["model"].strip(),
        revision=table["revision"],
        precision=table.get("precision", "served"),
        pooling=table.get("pooling", "served"),
        shortened=table.get("shortened", False),
        key=Secret(reference[1], environment) if reference else None,
        **numbers,
    )


def _embeddings_url(url: str) -> str:
    """The URL that is posted to, whether the base or the whole of it was given."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    return parts._replace(path=path if path.endswith(_EMBEDDINGS) else path + _EMBEDDINGS, fragment="").geturl()


def _environment_problems(endpoint: Endpoint) -> Iterator[str]:
    if endpoint.key is None:
        return
    try:
        if not endpoint.key.value():
            yield f"{endpoint.key.name}, which key refers to, is not set"
    except ModelSettingsError as error:
        yield str(error)
