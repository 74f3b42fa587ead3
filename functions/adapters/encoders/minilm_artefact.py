"""The folder that the default encoder runs from: what is in it, and whether one can be used."""

from pathlib import Path
from typing import Final

import msgspec

from functions.errors import TroupeError

WEIGHTS_SHA256: Final = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
VERSION: Final = f"all-minilm-l6-v2.{WEIGHTS_SHA256[:8]}.fp32.mean"
DIMENSION: Final = 384
MAX_TOKENS: Final = 256

GRAPH_FILE: Final = "model.onnx"
DATA_FILE: Final = "model.data"
TOKENIZER_FILE: Final = "tokenizer.json"
MARKER_FILE: Final = "encoder.json"


class EncoderError(TroupeError):
    """The encoder's folder cannot be used, or cannot be made."""


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What a complete folder holds; the file that is written last.

    Attributes:
        version: The encoder's version: model, the digest of its weights, precision and pooling.
        sizes: Bytes of each file beside the marker, so that a copy cut short is noticed.
    """

    version: str
    sizes: dict[str, int]


def write_marker(folder: Path) -> None:
    """Declare the files that are in `folder` now to be the whole of this version."""
    sizes = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
    marker = Marker(version=VERSION, sizes=sizes)
    (folder / MARKER_FILE).write_bytes(msgspec.json.format(msgspec.json.encode(marker)) + b"\n")


def check_folder(folder: Path) -> None:
    """Raise EncoderError unless `folder` is whole and holds this version."""
    marker_file = folder / MARKER_FILE
    again = f"remove {folder} and start again where the `model` dependency group is installed: it is built anew"
    try:
        marker = msgspec.json.decode(marker_file.read_bytes(), type=Marker)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise EncoderError(f"{folder} holds no whole encoder ({error}); {again}") from error
    if marker.version != VERSION:
        raise EncoderError(f"{folder} holds the encoder {marker.version}, expected {VERSION}; {again}")
    for name, expected in marker.sizes.items():
        file = folder / name
        found = file.stat().st_size if file.is_file() else 0
        if found != expected:
            raise EncoderError(f"{file} has {found} bytes, expected {expected}; {again}")
