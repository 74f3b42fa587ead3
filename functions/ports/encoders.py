"""What turns text into vectors."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

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
        """One unit-length vector a text: shape (len(texts), dimension), in the order given."""
        ...
