import subprocess
import sys
import threading
from pathlib import Path

import pytest

from functions.adapters.encoders.minilm_artefact import FP32, W8
from functions.adapters.encoders.registry import Carried, CarriedEncoders, registered
from functions.ports.encoders import Encoder, EncoderError, UnknownEncoderError
from tests.small_encoder import SmallEncoder


class ClosingEncoder(SmallEncoder):
    closed = 0

    def close(self) -> None:
        self.closed += 1


def small(name: str = "small", version: str = "small.1") -> Carried:
    def opened() -> Encoder:
        encoder = SmallEncoder()
        encoder.version = version
        return encoder

    return Carried(name=name, version=version, dimension=256, open=opened)


def test_both_precisions_are_carried_the_default_first_and_nothing_is_built_by_asking(tmp_path: Path) -> None:
    encoders = registered(tmp_path, {})
    assert FP32.version in encoders.versions
    assert encoders.version_of("minilm") == encoders.version_of(FP32.version) == FP32.version
    assert encoders.version_of("minilm-8bit") == W8.version
    assert [each.name for each in encoders.carried] == ["minilm", "minilm-8bit"]
    assert list(tmp_path.iterdir()) == []


def test_an_unknown_name_is_refused_with_a_list_of_what_is_there() -> None:
    encoders = CarriedEncoders([small(), small("other", "other.2")])
    with pytest.raises(UnknownEncoderError, match=r"no encoder 'larger' here: .* small \(small\.1\), other \(other\.2"):
        encoders.version_of("larger")


def test_a_version_that_is_not_carried_is_refused_with_a_list_of_what_is_there() -> None:
    with pytest.raises(UnknownEncoderError, match=r"encoder gone\.7 .* not carry: it carries small \(small\.1\)"):
        CarriedEncoders([small()]).encoder("gone.7")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (small("small", "other.2"), r"small\.1 and other\.2 have the name small: rename one"),
        (small("other", "small.1"), r"small and other have the version small\.1: give one another revision"),
        (small("small.1", "other.2"), r"small and small\.1: the name of one is the version of the other: rename it"),
    ],
)
def test_encoders_that_cannot_be_told_apart_are_named_alone_with_what_would_tell_them(other: Carried, why: str) -> None:
    with pytest.raises(EncoderError, match=f"cannot be told apart: {why}$"):
        CarriedEncoders([small("third", "third.3"), small(), other])


def test_an_encoder_is_opened_once_by_threads_that_ask_at_the_same_time() -> None:
    opened: list[Encoder] = []
    start = threading.Barrier(8)

    def open_small() -> Encoder:
        opened.append(SmallEncoder())
        return opened[-1]

    encoders = CarriedEncoders([Carried(name="small", version="small.1", dimension=256, open=open_small)])
    found: list[Encoder] = []

    def ask() -> None:
        start.wait()
        found.append(encoders.encoder("small.1"))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == opened * 8


def test_an_open_encoder_is_given_while_another_is_being_opened() -> None:
    at_it, may_end = threading.Event(), threading.Event()

    def open_slowly() -> Encoder:
        at_it.set()
        assert may_end.wait(30)
        raise EncoderError("it came to nothing")

    slow = Carried(name="slow", version="slow.1", dimension=256, open=open_slowly)
    encoders = CarriedEncoders([small(), slow])
    expected = encoders.encoder("small.1")

    def ask() -> None:
        with pytest.raises(EncoderError, match="came to nothing"):
            encoders.encoder("slow.1")

    opening = threading.Thread(target=ask)
    opening.start()
    assert at_it.wait(30)
    assert encoders.encoder("small.1") is expected
    may_end.set()
    opening.join()


def test_an_encoder_that_could_not_be_opened_is_tried_again() -> None:
    attempts = 0

    def open_at_the_second_time() -> Encoder:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            raise EncoderError("not yet")
        return SmallEncoder()

    encoders = CarriedEncoders([Carried(name="s", version="small.1", dimension=256, open=open_at_the_second_time)])
    with pytest.raises(EncoderError, match="not yet"):
        encoders.encoder("small.1")
    assert encoders.encoder("small.1").version == "small.1"


@pytest.mark.parametrize(("version", "dimension"), [("small.2", 256), ("small.1", 128)])
def test_an_encoder_that_is_another_than_declared_is_refused(version: str, dimension: int) -> None:
    declared = Carried(name="small", version=version, dimension=dimension, open=SmallEncoder)
    with pytest.raises(EncoderError, match=rf"is small\.1 with 256 .*, expected {version} with {dimension}"):
        CarriedEncoders([declared]).encoder(version)


def test_closing_closes_once_what_was_opened_and_nothing_else() -> None:
    encoder = ClosingEncoder()
    declared = Carried(name="closing", version="small.1", dimension=256, open=lambda: encoder)
    encoders = CarriedEncoders([declared, small("other", "other.2")])
    encoders.encoder("small.1")
    encoders.encoder("small.1")
    encoders.close()
    encoders.close()
    assert encoder.closed == 1
    with pytest.raises(EncoderError, match="was closed"):
        encoders.encoder("small.1")


def test_listing_encoders_loads_neither_numpy_nor_onnxruntime() -> None:
    code = (
        "import sys; from pathlib import Path; from functions.adapters.encoders.registry import registered;"
        "assert registered(Path('nowhere'), {}).versions;"
        "assert not {'numpy', 'onnxruntime', 'tokenizers', 'httpx', 'ssl'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code, our own interpreter
