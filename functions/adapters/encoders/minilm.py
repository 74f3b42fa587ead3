"""The default encoder: all-MiniLM-L6-v2 on onnxruntime, from a folder built at set-up.

Neither torch nor a download is needed. onnxruntime and tokenizers are imported when an encoder is made, so
that importing this module costs nothing.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from functions.adapters.encoders.minilm_artefact import (
    DIMENSION,
    FP32,
    GRAPH_FILE,
    MAX_TOKENS,
    TOKENIZER_FILE,
    VOCABULARY_FILE,
    Precision,
    check_folder,
)
from functions.events.utf8 import storable
from functions.ports.encoders import EncoderError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession  # type: ignore[import-untyped]  # it ships no types
    from tokenizers import Tokenizer

# A token is seldom longer than 10 characters: what lies behind 40 a token is never reached in real text.
_MAX_CHARACTERS: Final = 40 * MAX_TOKENS
# Work enough for each matrix product to occupy the cores, little enough to stay in their caches.
_TOKENS_PER_BATCH: Final = 2048
_TEXTS_PER_TOKENIZING: Final = 512


class MiniLM:
    """The `Encoder` port on onnxruntime. Safe to call from several threads at once.

    A text is cut at 256 tokens, as the model was trained; what stands behind is not seen. Any string is a
    valid text: the empty one has a vector too, and a literal `[SEP]` is read as its characters.

    Args:
        folder: What `minilm_graph.build` made.
        precision: Of the weights in it.
        threads: Processor threads for one call; by default those this process may use.

    Raises:
        EncoderError: The folder is missing, incomplete, damaged or another version's.
    """

    def __init__(self, folder: Path, *, precision: Precision = FP32, threads: int | None = None) -> None:
        check_folder(folder, precision.version)
        self.folder = folder
        self._precision = precision
        try:
            self._tokenizer = _open_tokenizer(folder)
            self._session = _open_session(folder / GRAPH_FILE, threads or _usable_processors())
        except ImportError:
            raise
        except Exception as error:  # tokenizers and onnxruntime raise plain ones of their own
            raise EncoderError(f"{folder} is damaged ({error}): remove it, and it is built anew") from error

    @property
    def version(self) -> str:
        """Names model, weights, precision and pooling: vectors of two versions never meet."""
        return self._precision.version

    @property
    def dimension(self) -> int:
        """384, the length of every vector."""
        return DIMENSION

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """One unit-length vector a text: shape (len(texts), 384), in the order given.

        Texts of like length share a batch, so that little of a batch is padding.

        Raises:
            EncoderError: The weights are damaged: what comes out are no numbers.
        """
        vectors = np.empty((len(texts), DIMENSION), np.float32)
        tokens = self._tokenize(texts)
        for batch in _batches([len(each) for each in tokens]):
            vectors[batch] = self._run([tokens[at] for at in batch])
        if not np.isfinite(vectors).all():
            raise EncoderError(f"the weights in {self.folder} are damaged: remove it, and it is built anew")
        return vectors

    def _tokenize(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        tokens: list[NDArray[np.int32]] = []
        for start in range(0, len(texts), _TEXTS_PER_TOKENIZING):
            part = [readable(text) for text in texts[start : start + _TEXTS_PER_TOKENIZING]]
            tokens.extend(np.array(encoding.ids, np.int32) for encoding in self._tokenizer.encode_batch_fast(part))
        return tokens

    def _run(self, tokens: Sequence[NDArray[np.int32]]) -> NDArray[np.float32]:
        longest = max(len(each) for each in tokens)
        ids = np.zeros((len(tokens), longest), np.int32)
        mask = np.zeros_like(ids)
        for row, each in enumerate(tokens):
            ids[row, : len(each)] = each
            mask[row, : len(each)] = 1
        (vectors,) = self._session.run(["embedding"], {"input_ids": ids, "attention_mask": mask})
        return np.asarray(vectors, np.float32)


def built_encoder(parent: Path, *, precision: Precision = FP32, threads: int | None = None) -> MiniLM:
    """The encoder from its own folder below `parent`, which is built first where it is not there and whole.

    Several processes may call it at once: the first to finish building wins, the others use what it made.

    Raises:
        EncoderError: There is nothing to build it from: the `model` dependency group is not installed.
    """
    folder = parent / precision.version
    try:
        check_folder(folder, precision.version)
    except EncoderError:
        _build(folder, precision)
    return MiniLM(folder, precision=precision, threads=threads)


def _build(folder: Path, precision: Precision) -> None:
    try:
        from functions.adapters.encoders.minilm_graph import build  # noqa: PLC0415 - asks for onnx, at set-up only
    except ModuleNotFoundError as error:
        raise EncoderError(
            f"the encoder in {folder} is missing or broken and cannot be built: the package {error.name} is "
            "not installed; run `uv sync --group model`"
        ) from error
    build(folder, precision)


def _batches(lengths: Sequence[int]) -> Iterator[NDArray[np.intp]]:
    """Positions grouped by like length, each group at most `_TOKENS_PER_BATCH` tokens with its padding."""
    order = np.argsort(lengths, kind="stable")
    start = 0
    while start < len(order):
        end = start + 1
        while end < len(order) and (end + 1 - start) * lengths[order[end]] <= _TOKENS_PER_BATCH:
            end += 1
        yield order[start:end]
        start = end


def readable(text: str) -> str:
    """The part of a text that can matter, without lone surrogates."""
    return storable(text[:_MAX_CHARACTERS])


def _usable_processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _open_tokenizer(folder: Path) -> "Tokenizer":
    from tokenizers import Tokenizer  # noqa: PLC0415 - paid by whoever makes an encoder, not by every import
    from tokenizers.models import WordPiece  # noqa: PLC0415 - the same

    settings = (folder / TOKENIZER_FILE).read_text("utf-8")
    tokenizer = Tokenizer.from_str(settings)
    model = msgspec.json.decode(settings)["model"]
    tokenizer.model = WordPiece.from_file(
        str(folder / VOCABULARY_FILE),
        unk_token=model["unk_token"],
        max_input_chars_per_word=model["max_input_chars_per_word"],
        continuing_subword_prefix=model["continuing_subword_prefix"],
    )
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer


def _open_session(graph: Path, threads: int) -> "InferenceSession":
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # onnxruntime reads it while it is imported
    import onnxruntime as ort  # noqa: PLC0415 - the same

    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # The graph is written with fused operators: there is nothing to optimize.
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_pattern = False  # a pattern serves one shape, and every batch has its own
    # Threads that wait by spinning take the cores from the workers beside them: a query took twice as long.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return ort.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
