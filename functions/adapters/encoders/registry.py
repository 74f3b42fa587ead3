"""The encoders that a process carries: by version, and by the short name that a person types.

Carrying one costs nothing: it is opened when it is first asked for, and then kept.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from itertools import combinations, starmap
from pathlib import Path

import msgspec

from functions.adapters.encoders.batching import BatchingEncoder
from functions.adapters.encoders.minilm_artefact import DIMENSION, FP32, W8, Precision
from functions.adapters.encoders.settings import Endpoint, endpoints, engine
from functions.ports.encoders import Encoder, EncoderError, UnknownEncoderError


class Carried(msgspec.Struct, frozen=True, kw_only=True):
    """An encoder that can be opened here.

    Attributes:
        name: What a person types for it.
        version: What it is known by everywhere else.
        dimension: The length of its vectors.
        open: Makes it ready; what it returns is closed with the registry if it has a `close`.
    """

    name: str
    version: str
    dimension: int
    open: Callable[[], Encoder]


class CarriedEncoders:
    """The `Encoders` port over a list of them, the first of which is the default. Safe to use from several threads.

    Args:
        carried: No two of one name or version, and none named as another's version.

    Raises:
        EncoderError: Some are.
    """

    def __init__(self, carried: Sequence[Carried]) -> None:
        self.carried = tuple(carried)
        self._by_version = {each.version: each for each in carried}
        self._by_name = {each.name: each for each in carried} | self._by_version
        alike = [problem for problem in starmap(_alike, combinations(self.carried, 2)) if problem]
        if alike:
            raise EncoderError(f"encoders cannot be told apart: {'; '.join(alike)}")
        self._opened: dict[str, Encoder] = {}
        self._closing = ExitStack()
        self._is_closed = False
        self._changing = threading.Lock()

    @property
    def versions(self) -> frozenset[str]:
        """See `Encoders.versions`."""
        return frozenset(self._by_version)

    def version_of(self, name: str) -> str:
        """The version that a short name stands for; a version stands for itself.

        Raises:
            UnknownEncoderError: It is neither, with a list of those that there are.
        """
        found = self._by_name.get(name)
        if found is None:
            raise UnknownEncoderError(f"there is no encoder {name!r} here: choose one of {self._listed()}")
        return found.version

    def encoder(self, version: str) -> Encoder:
        """See `Encoders.encoder`. One that is open is given at once, also while another is being opened.

        Raises:
            EncoderError: It cannot be opened, or all of them were closed.
        """
        return self._opened.get(version) or self._open(version)

    def close(self) -> None:
        """Close those that were opened; none can be had afterwards."""
        with self._changing:
            self._is_closed = True
            self._opened.clear()
            self._closing.close()

    def _open(self, version: str) -> Encoder:
        carried = self._by_version.get(version)
        if carried is None:
            raise UnknownEncoderError(
                f"vectors of the encoder {version} are asked for, which this process does not carry: it carries "
                f"{self._listed()}"
            )
        with self._changing:
            if self._is_closed:
                raise EncoderError(f"the encoder {version} was closed with all others")
            if version not in self._opened:
                self._opened[version] = self._kept(carried)
            return self._opened[version]

    def _kept(self, carried: Carried) -> Encoder:
        encoder = carried.open()
        if (encoder.version, encoder.dimension) != (carried.version, carried.dimension):
            raise EncoderError(
                f"the encoder {carried.name} is {encoder.version} with {encoder.dimension} dimensions, expected "
                f"{carried.version} with {carried.dimension}"
            )
        close = getattr(encoder, "close", None)
        if close is not None:
            self._closing.callback(close)
        return encoder

    def _listed(self) -> str:
        return ", ".join(f"{each.name} ({each.version})" for each in self.carried) or "none"


def _alike(one: Carried, other: Carried) -> str:
    """Why two encoders cannot be told apart; empty where they can."""
    if one.version == other.version:
        return f"{one.name} and {other.name} have the version {one.version}: give one another revision"
    if one.name == other.name:
        return f"{one.version} and {other.version} have the name {one.name}: rename one"
    if one.name == other.version or other.name == one.version:
        return f"{one.name} and {other.name}: the name of one is the version of the other: rename it"
    return ""


def registered(home: Path, environment: Mapping[str, str]) -> CarriedEncoders:
    """The encoders of one machine: the built ones, whose folders are below `home`, and the endpoints it declares.

    Args:
        home: Where this machine keeps everything.
        environment: What is set on it: `TROUPE_ENCODERS` names a file of endpoints, `TROUPE_ENCODER_ENGINE` what
            makes the vectors of the default encoder.

    Raises:
        EncoderSettingsError: The environment says what cannot be used.
    """
    folder = home / "encoders"
    default = {"onnxruntime": _built, "sentence-transformers": _reference}[engine(environment)]
    return CarriedEncoders(
        [
            _minilm("minilm", FP32, partial(default, folder, FP32)),
            _minilm("minilm-8bit", W8, partial(_built, folder, W8)),
            *(_hosted(each) for each in endpoints(environment)),
        ]
    )


def _minilm(name: str, precision: Precision, opened: Callable[[], Encoder]) -> Carried:
    return Carried(name=name, version=precision.version, dimension=DIMENSION, open=opened)


def _hosted(endpoint: Endpoint) -> Carried:
    opened = partial(_connected, endpoint)
    return Carried(name=endpoint.name, version=endpoint.version, dimension=endpoint.dimension, open=opened)


def _built(folder: Path, precision: Precision) -> Encoder:
    from functions.adapters.encoders.minilm import built_encoder  # noqa: PLC0415 - slow

    return BatchingEncoder(built_encoder(folder, precision=precision))


def _reference(folder: Path, precision: Precision) -> Encoder:
    from functions.adapters.encoders.minilm import built_encoder  # noqa: PLC0415 - slow
    from functions.adapters.encoders.sentence_transformers import opened_engine  # noqa: PLC0415 - slow

    return opened_engine(built_encoder(folder, precision=precision))


def _connected(endpoint: Endpoint) -> Encoder:
    from functions.adapters.encoders.openai_compatible import OpenAICompatibleEncoder  # noqa: PLC0415 - slow

    return BatchingEncoder(OpenAICompatibleEncoder(endpoint), most_texts=endpoint.max_texts)
