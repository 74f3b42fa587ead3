"""The `Encoders` port over encoders that are there already."""

from functions.ports.encoders import Encoder, UnknownEncoderError


class Carrying:
    """Those given, and no others.

    Attributes:
        kept: By version.
    """

    def __init__(self, *encoders: Encoder) -> None:
        self.kept = {encoder.version: encoder for encoder in encoders}

    @property
    def versions(self) -> frozenset[str]:
        return frozenset(self.kept)

    def encoder(self, version: str) -> Encoder:
        try:
            return self.kept[version]
        except KeyError:
            raise UnknownEncoderError(f"{version} is not carried here") from None
