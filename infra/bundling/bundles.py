"""What functions are deployed from, and what Lambda takes."""

import base64
from collections.abc import Mapping
from typing import Final

import msgspec

MOST_UNZIPPED: Final = 250 * 1024 * 1024  # bytes of a function with its layers
MOST_DIRECT: Final = 50 * 1024 * 1024  # bytes of a zip in a call; what is larger is put into a bucket first


class Zip(msgspec.Struct, frozen=True, kw_only=True):
    """A zip that is deployed.

    Attributes:
        file: Where it is.
        sha256: Of the file, in hexadecimal.
        size: Of the file, in bytes.
        parts: Unzipped bytes of each package, of `functions` and of each encoder.
    """

    file: str
    sha256: str
    size: int
    parts: Mapping[str, int]

    @property
    def unzipped(self) -> int:
        """Bytes, as Lambda counts them."""
        return sum(self.parts.values())

    @property
    def base64_sha256(self) -> str:
        """As Lambda tells the digest of a function's code."""
        return base64.b64encode(bytes.fromhex(self.sha256)).decode()


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """What one function is deployed from.

    Attributes:
        layers: In the order in which Lambda unpacks them.
    """

    handler: str
    code: Zip
    layers: tuple[Zip, ...] = ()

    @property
    def unzipped(self) -> int:
        """Bytes, as Lambda counts them against `MOST_UNZIPPED`."""
        return self.code.unzipped + sum(layer.unzipped for layer in self.layers)


class Bundles(msgspec.Struct, frozen=True, kw_only=True):
    """What the functions of a stack are deployed from, by name."""

    agents: Mapping[str, Bundle]
    services: Mapping[str, Bundle]

    def named(self) -> list[tuple[str, Bundle]]:
        """Those of the agents, then those of the services: an agent and a service may have the same name."""
        return [*self.agents.items(), *self.services.items()]


def megabytes(size: int) -> str:
    """For people."""
    return f"{size / 1024 / 1024:.1f} MB"


def largest(bundle: Bundle, count: int) -> str:
    """The parts of a function that are large, the largest first."""
    parts = sorted((size, part) for each in (bundle.code, *bundle.layers) for part, size in each.parts.items())
    return ", ".join(f"{part} {megabytes(size)}" for size, part in reversed(parts[-count:]))
