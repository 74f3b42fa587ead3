"""A function's zip holds what its agent needs, the same bytes wherever it is made, and is made once."""

import os
import shutil
import sys
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import get_args

import msgspec
import pytest
from bundle_shop import make_encoder, make_project

import infra.bundle
from functions.adapters.encoders.minilm_artefact import FP32, VERSION, W8
from functions.errors import TroupeError
from functions.ports.capability import CAPABILITIES
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan
from functions.workflows.catalog import WORKFLOWS
from infra.bundle import bundles, lambda_target
from infra.bundling import needs, sources, trees
from infra.bundling.bundles import Bundle, Bundles, Zip
from infra.bundling.lock import Architecture, Target
from infra.settings import ApiSettings, CollectionSettings, ModelSettings, Settings

PLANS: list[Plan] = list(topology(*WORKFLOWS.values()).values())
PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
KEPT = {(".troupe", name) for name in ("bundles", "sources", "wheels")}
OPENAI = ModelSettings(kind="openai", id="some", url="https://model.invalid/v1")
BEDROCK = ModelSettings(kind="bedrock", id="some")


def target(architecture: Architecture = "arm64") -> Target:
    return Target(python=PYTHON, architecture=architecture, glibc=28)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A project whose wheels were fetched and whose functions were bundled once."""
    folder = tmp_path_factory.mktemp("bundle")
    root = make_project(folder / "project", PYTHON)
    make_encoder(root / ".troupe")
    with pytest.MonkeyPatch.context() as patching:
        offline(patching, root, folder / "uv")
        made(root, Settings(model=OPENAI))
        yield root


@pytest.fixture
def project(whole: Path, tmp_path: Path) -> Path:
    """One to change, with the wheels that were fetched."""
    return Path(shutil.copytree(whole, tmp_path / "project", ignore=shutil.ignore_patterns("bundles", "sources")))


def offline(monkeypatch: pytest.MonkeyPatch, root: Path, cache: Path) -> None:
    """Only the wheels of this project can be had."""
    for name in [name for name in os.environ if name.startswith("UV_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("UV_FIND_LINKS", str(root / "wheels"))
    monkeypatch.setenv("UV_NO_INDEX", "1")
    monkeypatch.setenv("UV_NO_CONFIG", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(cache))


def made(root: Path, settings: Settings = Settings(), at: Target | None = None) -> Bundles:  # noqa: B008 - frozen
    return bundles(PLANS, settings, at or target(), root=root)


def names(zipped: Zip) -> list[str]:
    with zipfile.ZipFile(zipped.file) as opened:
        return opened.namelist()


def digests(found: Bundles) -> dict[str, list[str]]:
    return {
        f"{kind} {name}": [bundle.code.sha256, *(layer.sha256 for layer in bundle.layers)]
        for kind, group in (("agent", found.agents), ("service", found.services))
        for name, bundle in group.items()
    }


@pytest.fixture
def _other_umask() -> Iterator[None]:
    before = os.umask(0o077)
    yield
    os.umask(before)


def test_every_capability_says_what_it_needs() -> None:
    assert needs._PACKAGES.keys() == CAPABILITIES.keys()


@pytest.mark.usefixtures("_other_umask")
def test_the_same_inputs_give_the_same_bytes_in_another_folder_at_another_time(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = made(project)
    os.umask(0o002)
    other = tmp_path / "elsewhere" / "with a longer name"
    for file in sorted(project.rglob("*"), reverse=True):
        if file.is_file() and file.relative_to(project).parts[:2] not in {
            (".troupe", "wheels"),
            (".troupe", "bundles"),
        }:
            copy = other / file.relative_to(project)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            os.utime(copy, (1_000_000_000, 1_000_000_000))
    offline(monkeypatch, other, tmp_path / "uv")
    second = made(other)
    assert digests(second) == digests(first)
    assert {bundle.code.file for bundle in second.agents.values()}.isdisjoint(
        {bundle.code.file for bundle in first.agents.values()}
    )


def test_each_architecture_has_its_own_wheels(project: Path) -> None:
    arm, intel = (made(project, at=target(each)).agents["retriever"] for each in get_args(Architecture))
    assert b"aarch64" in content(arm.layers[0], "python/numpy/native.so")
    assert b"x86_64" in content(intel.layers[0], "python/numpy/native.so")
    assert arm.code.sha256 != intel.code.sha256


def content(zipped: Zip, name: str) -> bytes:
    with zipfile.ZipFile(zipped.file) as opened:
        return opened.read(name)


def test_a_function_has_the_packages_that_its_agents_capabilities_need_and_no_others(project: Path) -> None:
    found = made(project, Settings(model=OPENAI))
    every = {"msgspec", "pystemmer", "functions"}
    assert found.agents["collector"].code.parts.keys() == every
    assert found.agents["editor"].code.parts.keys() == every
    assert found.agents["planner"].code.parts.keys() == every | {"httpx", "httpcore"}
    assert found.agents["retriever"].code.parts.keys() == every
    reading = {"beautifulsoup4", "charset-normalizer", "markdown-it-py", "pypdf"}
    assert found.agents["ingester"].code.parts.keys() == every | reading
    assert found.services["api"].code.parts.keys() == every | {"jsonschema"}
    assert found.services["desk"].code.parts.keys() == every


def test_the_libraries_and_the_artefact_that_make_vectors_are_one_layer_of_those_that_do(project: Path) -> None:
    found = made(project)
    with_layers = {name for name, bundle in found.named() if bundle.layers}
    assert with_layers == {"action", "ingester", "retriever", "searcher"}
    assert len({layer.sha256 for _, bundle in found.named() for layer in bundle.layers}) == 1
    (layer,) = found.agents["retriever"].layers
    assert layer.parts.keys() == {"numpy", "onnxruntime", "tokenizers", VERSION}
    assert all(name.startswith("python/") for name in names(layer))
    assert f"python/encoders/{VERSION}/model.onnx" in names(layer)


def test_what_a_stack_leaves_out_is_not_bundled(project: Path) -> None:
    found = made(project, Settings(model=BEDROCK, ingest=False, api=ApiSettings(websocket=False, auth="jwt")))
    assert "httpx" not in found.agents["planner"].code.parts
    assert found.services.keys() == {"api", "desk", "keeper", "sweeper"}
    personal = {"cryptography", "phonenumbers", "python-stdnum"}
    assert not personal & found.agents["response_builder"].code.parts.keys()
    assert personal < made(project, Settings(personal_data="vault")).agents["response_builder"].code.parts.keys()


def test_beside_tokens_the_function_that_knows_the_keys_of_the_websocket_is_bundled(project: Path) -> None:
    assert "authorizer" in made(project, Settings(api=ApiSettings(auth="jwt"))).services
    assert "authorizer" not in made(project, Settings(api=ApiSettings(auth="iam"))).services


def test_a_collection_that_no_stack_file_names_has_its_encoder_beside_those_that_one_names() -> None:
    named = Settings(collections={"memories": CollectionSettings(encoder="minilm-8bit")})
    assert needs.agents(PLANS, named)["retriever"].encoders == (FP32.version, W8.version)
    every = {name: CollectionSettings(encoder="minilm-8bit") for name in ("documents", "memories")}
    assert needs.agents(PLANS, Settings(collections=every))["retriever"].encoders == (W8.version,)


def test_functions_carry_the_file_of_actions_where_their_settings_name_it(project: Path) -> None:
    file = project / "configured" / "actions.toml"
    file.parent.mkdir()
    file.write_text("[actions.note]\n")
    first = made(project, Settings(actions="./configured/actions.toml")).agents["caller"].code
    assert content(first, "configured/actions.toml") == b"[actions.note]\n"
    file.write_text("[actions.other]\n")
    second = made(project, Settings(actions="./configured/actions.toml")).agents["caller"].code
    assert content(second, "configured/actions.toml") == b"[actions.other]\n"
    assert "configured/actions.toml" not in names(made(project).agents["caller"].code)


def test_agents_share_an_entry_point_and_each_service_has_its_own(project: Path) -> None:
    found = made(project)
    assert found.agents["intake"].handler == "functions.entry_points.aws.agent.handler"
    assert found.services["uploads"].handler == "functions.entry_points.aws.uploads.handler"


def test_the_projects_own_code_in_a_function_is_functions_without_what_another_target_needs(project: Path) -> None:
    own = [
        name
        for name in names(made(project).agents["planner"].code)
        if not name.startswith(("msgspec", "Stemmer", "pystemmer"))
    ]
    assert {name for name in own if "__pycache__" not in name} == {
        "functions/__init__.py",
        "functions/adapters/aws/items.py",
        "functions/agents/planner.py",
        "functions/collections/related_words.txt",
    }


def test_every_module_has_its_bytecode(project: Path) -> None:
    found = made(project).agents["retriever"]
    for zipped in (found.code, *found.layers):
        modules = {name for name in names(zipped) if name.endswith(".py")}
        compiled = {name for name in names(zipped) if name.endswith(".pyc")}
        assert len(compiled) == len(modules) > 0


def test_nothing_of_the_machine_or_of_the_installer_is_in_a_zip(project: Path) -> None:
    found = made(project).agents["ingester"]
    for zipped in (found.code, *found.layers):
        for name in names(zipped):
            assert Path(name).name not in {"INSTALLER", "RECORD", "REQUESTED", "direct_url.json", ".lock"}
            assert "/tests/" not in name
            assert not name.startswith(("bin/", "/", "python/bin/"))
            assert str(project).encode() not in content(zipped, name)
            assert b".draft" not in content(zipped, name)


def test_entries_have_one_time_and_one_mode_and_the_order_of_their_names(project: Path) -> None:
    with zipfile.ZipFile(made(project).agents["planner"].code.file) as opened:
        entries = opened.infolist()
    assert {(entry.date_time, entry.external_attr >> 16, entry.compress_type) for entry in entries} == {
        ((1980, 1, 1, 0, 0, 0), 0o100644, zipfile.ZIP_STORED)
    }
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)


def test_a_machine_whose_uv_compiles_what_it_installs_makes_the_same(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("infra.bundling.bytecode.interpreter", lambda _python: None)
    offline(monkeypatch, project, tmp_path / "uv")
    found = []
    for compiles in ("0", "1"):
        monkeypatch.setenv("UV_COMPILE_BYTECODE", compiles)
        shutil.rmtree(project / ".troupe" / "wheels")
        shutil.rmtree(project / ".troupe" / "bundles", ignore_errors=True)
        found.append(digests(made(project)))
    assert found[0] == found[1]


def test_a_link_that_an_editor_leaves_beside_an_open_file_is_no_part_of_the_code(project: Path) -> None:
    first = made(project)
    (project / "functions/agents/.#planner.py").symlink_to("somebody@example.1")
    assert made(project) == first


def test_a_second_run_makes_nothing_again(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = made(project)

    def refused(*_: object, **__: object) -> None:
        raise AssertionError("made again")

    for module, name in ((trees, "tree"), (sources, "tree"), (infra.bundle, "write_zip"), (infra.bundle, "read_lock")):
        monkeypatch.setattr(module, name, refused)
    assert made(project) == first


def test_a_change_of_the_code_leaves_the_layer_as_it_was(project: Path) -> None:
    first = made(project).agents["retriever"]
    (project / "functions/agents/planner.py").write_text("def planner():\n    return {}\n")
    second = made(project).agents["retriever"]
    assert second.code.sha256 != first.code.sha256
    assert second.layers == first.layers


def test_a_change_elsewhere_changes_nothing(project: Path) -> None:
    first = made(project)
    (project / "local/process.py").write_text("import functions.errors\n")
    (project / "functions/adapters/local/store.py").write_text("import os\n")
    assert made(project) == first


def test_a_zip_that_was_cut_short_is_made_again(project: Path) -> None:
    first = made(project)
    file = Path(first.agents["planner"].code.file)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1])
    assert made(project) == first
    assert file.read_bytes() == whole


def test_two_that_bundle_at_once_make_the_same(project: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        one, other = pool.map(made, [project, project])
    assert one == other
    assert not list((project / ".troupe").rglob(".draft-*"))


def test_a_function_that_is_too_large_is_refused_with_what_is_large_in_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(project)
    most = max(bundle.unzipped for name, bundle in whole.named() if not bundle.layers)
    monkeypatch.setattr(infra.bundle, "MOST_UNZIPPED", most)
    monkeypatch.setattr(infra.bundle, "_LARGEST", 2)
    with pytest.raises(TroupeError) as refused:
        made(project)
    for name in ("action", "ingester", "retriever", "searcher"):
        assert f"the function {name} is " in str(refused.value)
    assert "planner" not in str(refused.value)
    assert str(refused.value).endswith(f"the largest in it: functions 0.0 MB, {VERSION} 0.0 MB")


def test_wheels_that_are_not_there_for_a_target_are_named_all_at_once(project: Path) -> None:
    with pytest.raises(
        TroupeError, match=r"no wheel for Python 3\.9 on arm64 .* of msgspec 1\.0, pystemmer 1\.0: choose"
    ):
        made(project, at=Target(python="3.9", architecture="arm64", glibc=28))


def test_a_wheel_that_is_not_what_the_lock_names_is_refused(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(project / ".troupe" / "wheels")
    offline(monkeypatch, project, tmp_path / "uv")
    for file in (project / "wheels").glob("msgspec-*"):
        shutil.copyfile(next((project / "wheels").glob("httpcore-*")), file)
    with pytest.raises(TroupeError, match=r"uv could not fetch msgspec-1\.0"):
        made(project)


def test_an_encoder_whose_files_are_not_what_was_built_is_refused(project: Path) -> None:
    (project / ".troupe" / "encoders" / VERSION / "model.data").write_text("model.dota\n")
    with pytest.raises(TroupeError, match="is not what was built"):
        made(project)


def test_a_machine_without_the_functions_python_leaves_the_bytecode_out(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_bytecode = made(project).agents["planner"].code
    monkeypatch.setattr("infra.bundling.bytecode.interpreter", lambda _python: None)
    without = made(project).agents["planner"].code
    assert not [name for name in names(without) if name.endswith(".pyc")]
    assert without.sha256 != with_bytecode.sha256


def test_the_runtime_and_the_architecture_of_a_stack_decide_where_its_functions_run() -> None:
    assert lambda_target(Settings()) == Target(python="3.13", architecture="arm64", glibc=34)
    other = lambda_target(Settings(runtime="python3.12", architecture="x86_64"))
    assert other == Target(python="3.12", architecture="x86_64", glibc=34)


def test_what_lambda_counts_is_the_code_with_its_layers() -> None:
    code, layer = (Zip(file="", sha256="ab", size=1, parts={"one": size}) for size in (10, 20))
    assert Bundle(handler="", code=code, layers=(layer,)).unzipped == 30
    assert msgspec.structs.replace(code, sha256="00ff").base64_sha256 == "AP8="
