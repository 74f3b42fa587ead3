"""What turns text into vectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from functions.errors import TroupeError

if TYPE_CHECKING:  # numpy costs a cold start more than everything else that an agent imports
    import numpy as np
    from numpy.typing import NDArray


class Encoder(Protocol):
    """One model at one revision, precision and pooling, named by `version`."""

    @property
    def version(self) -> str:
        """Names model, revision, precision and pooling: vectors of two versions never meet."""
        ...

    @property
    def dimension(self) -> int:
        """The length of every vector."""
        ...

    def encode(self, texts: Sequence[str]) -> "NDArray[np.float32]":
        """One unit-length vector a text: shape (len(texts), dimension), in the order given.

        Raises:
            EncoderError: It cannot make them; EncoderUnavailableError where a later call may.
        """
        ...


class EncoderError(TroupeError):
    """An encoder cannot be opened, or what it gave are no vectors."""


class EncoderUnavailableError(EncoderError):
    """An encoder did not answer, or is busy, and trying again in time did not help: a later call may succeed."""


class UnknownEncoderError(TroupeError, LookupError):
    """No encoder of this version can be used here."""


class Encoders(Protocol):
    """The encoders that a process carries, by version."""

    @property
    def versions(self) -> frozenset[str]:
        """Those that `encoder` gives; none of them is opened by asking."""
        ...

    def encoder(self, version: str) -> Encoder:
        """The encoder of this version, opened when it is first asked for and then kept.

        Raises:
            UnknownEncoderError: It is not carried here.
        """
        ...
