"""An encoder that needs no model: each word falls into one of some places. Same words, same vector."""

import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from functions.runtime.text import words


class SmallEncoder:
    """The `Encoder` port, for tests that are not about meaning; each version puts the words into other places.

    Attributes:
        encoded: The texts, in order.
    """

    def __init__(self, version: str = "small.1", dimension: int = 256) -> None:
        self.version = version
        self.dimension = dimension
        self.encoded: list[str] = []
        self._salt = b"" if version == "small.1" else version.encode()

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded += texts
        vectors = np.full((len(texts), self.dimension), 1e-3, dtype=np.float32)
        for row, text in enumerate(texts):
            for word in words(text):
                vectors[row, zlib.crc32(self._salt + word.encode("utf-8", "replace")) % self.dimension] += 1
        unit: NDArray[np.float32] = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return unit
