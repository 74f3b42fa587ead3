"""The folder that an all-MiniLM-L6-v2 runs from: what is in it, and whether one can be used.

One folder for each precision, under its version: what differs between them is in `Precision`, and nothing else does.
"""

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from functions.ports.encoders import EncoderError

WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
DIMENSION: Final = 384
MAX_TOKENS: Final = 256

GRAPH_FILE: Final = "model.onnx"
DATA_FILE: Final = "model.data"
TOKENIZER_FILE: Final = "tokenizer.json"
VOCABULARY_FILE: Final = "vocabulary.txt"  # in lines, which load in half the time that they take inside the JSON
MARKER_FILE: Final = "encoder.json"
_FILES: Final = (GRAPH_FILE, DATA_FILE, TOKENIZER_FILE, VOCABULARY_FILE)


class Precision(msgspec.Struct, frozen=True, kw_only=True):
    """In which numbers the weights are kept.

    Attributes:
        name: As it stands in a version.
    """

    name: str

    @property
    def version(self) -> str:
        """Names model, the digest of its weights, precision and pooling: vectors of two versions never meet."""
        return f"all-minilm-l6-v2.{WEIGHTS_SHA256[:8]}.{self.name}.mean"


FP32: Final = Precision(name="fp32")
W8: Final = Precision(name="w8")  # 8-bit weights, a scale for each block of 32, times 8-bit numbers made on the way
PRECISIONS: Final = (FP32, W8)
VERSION: Final = FP32.version  # of the default encoder


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What a complete folder holds; the file that is written last.

    Attributes:
        version: The encoder's version: model, the digest of its weights, precision and pooling.
        sizes: Bytes of each file beside the marker, so that a copy cut short is noticed at every start.
        digests: SHA-256 of each, for whoever looks closer; folders of earlier versions have none.
    """

    version: str
    sizes: dict[str, int]
    digests: dict[str, str] = {}


def write_marker(folder: Path, version: str = VERSION) -> None:
    """Declare the files that are in `folder` now to be the whole of this version."""
    files = sorted(folder.iterdir())
    marker = Marker(
        version=version,
        sizes={file.name: file.stat().st_size for file in files},
        digests={file.name: _digest(file) for file in files},
    )
    (folder / MARKER_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(marker)) + b"\n")


def verify_folder(folder: Path, version: str = VERSION) -> None:
    """Raise EncoderError unless `folder` holds what was built, to the last byte, as far as its marker knows."""
    for name, expected in check_folder(folder, version).digests.items():
        if _digest(folder / name) != expected:
            raise EncoderError(f"{folder / name} is not what was built; {_again(folder)}")


def _digest(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _again(folder: Path) -> str:
    return f"remove {folder} and start again where the `model` dependency group is installed: it is built anew"


def check_folder(folder: Path, version: str = VERSION) -> Marker:
    """What `folder` holds; raises EncoderError unless that is this version and whole."""
    marker_file = folder / MARKER_FILE
    again = _again(folder)
    try:
        marker = msgspec.json.decode(marker_file.read_bytes(), type=Marker)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EncoderError(f"{folder} holds no whole encoder ({error}); {again}") from error
    if marker.version != version:
        raise EncoderError(f"{folder} holds the encoder {marker.version}, expected {version}; {again}")
    missing = [name for name in _FILES if name not in marker.sizes]
    if missing:
        raise EncoderError(f"{folder} was built without {', '.join(missing)}, which are read now; {again}")
    for name, expected in marker.sizes.items():
        file = folder / name
        found = file.stat().st_size if file.is_file() else 0
        if found != expected:
            raise EncoderError(f"{file} has {found} bytes, expected {expected}; {again}")
    return marker
