"""A small project to bundle: wheels made here, a lock that names them, and an encoder of a few bytes."""

import base64
import hashlib
import zipfile
from collections.abc import Mapping
from pathlib import Path

from functions.adapters.encoders.minilm_artefact import DATA_FILE, GRAPH_FILE, TOKENIZER_FILE, VERSION, VOCABULARY_FILE
from functions.adapters.encoders.minilm_artefact import write_marker as write_encoder_marker

#: What every package is called where it is imported, and whether it is compiled for an architecture.
PACKAGES = {
    "beautifulsoup4": ("bs4", False),
    "charset-normalizer": ("charset_normalizer", True),
    "cryptography": ("cryptography", True),
    "httpx": ("httpx", False),
    "jsonschema": ("jsonschema", False),
    "markdown-it-py": ("markdown_it", False),
    "msgspec": ("msgspec", True),
    "numpy": ("numpy", True),
    "onnxruntime": ("onnxruntime", True),
    "phonenumbers": ("phonenumbers", False),
    "pypdf": ("pypdf", False),
    "pystemmer": ("Stemmer", True),
    "python-stdnum": ("stdnum", False),
    "tokenizers": ("tokenizers", True),
}
HTTPCORE = "httpcore"  # what httpx needs
ARCHITECTURES = {"arm64": "aarch64", "x86_64": "x86_64"}


def make_project(root: Path, python: str) -> Path:
    """The project's root, with wheels for both architectures in `wheels`; other processes made none of its bytes."""
    (root / "wheels").mkdir(parents=True)
    compiled = f"cp{python.replace('.', '')}-cp{python.replace('.', '')}-manylinux_2_28"
    locked = {}
    for package, (module, is_compiled) in {**PACKAGES, HTTPCORE: ("httpcore", False)}.items():
        tags = [f"{compiled}_{machine}" for machine in ARCHITECTURES.values()] if is_compiled else ["py3-none-any"]
        locked[package] = [_wheel(root / "wheels", package, module, tag) for tag in tags]
    (root / "uv.lock").write_text(_lock(locked))
    for name, text in {
        "functions/__init__.py": '"""All."""\n',
        "functions/agents/planner.py": "def planner():\n    return {'a', 'b', 'c'}\n",
        "functions/collections/related_words.txt": "one two\n",
        "functions/adapters/local/store.py": "import sqlite3\n",
        "functions/adapters/aws/items.py": "import functions\n",
        "local/process.py": "import functions\n",
        "tests/test_all.py": "import functions\n",
    }.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def make_encoder(kept: Path) -> None:
    folder = kept / "encoders" / VERSION
    folder.mkdir(parents=True)
    for name in (GRAPH_FILE, DATA_FILE, TOKENIZER_FILE, VOCABULARY_FILE):
        (folder / name).write_text(f"{name}\n")
    write_encoder_marker(folder)


def _wheel(folder: Path, package: str, module: str, tag: str) -> tuple[str, str, int]:
    """File name, digest and size."""
    name = package.replace("-", "_")
    info = f"{name}-1.0.dist-info"
    files = {
        f"{module}/__init__.py": f"NAME = {package!r}\nWORDS = frozenset({{'x', 'y', 'z'}})\n",
        f"{module}/types.pyi": "NAME: str\n",
        f"{module}/tests/test_all.py": "assert True\n",
        f"{module}/native.so": f"{package} {tag}\n",
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n",
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: {tag}\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name} = {module}:main\n",
    }
    files[f"{info}/RECORD"] = "".join(f"{path},{_hash(text)},{len(text)}\n" for path, text in files.items())
    file = folder / f"{name}-1.0-{tag}.whl"
    with zipfile.ZipFile(file, "w") as opened:
        for path, text in files.items():
            opened.writestr(zipfile.ZipInfo(path, (2020, 1, 1, 0, 0, 0)), text)
    return file.name, hashlib.sha256(file.read_bytes()).hexdigest(), file.stat().st_size


def _hash(text: str) -> str:
    return "sha256=" + base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).rstrip(b"=").decode()


def _lock(locked: Mapping[str, list[tuple[str, str, int]]]) -> str:
    source = '{ registry = "https://registry.invalid/simple" }'
    lines = ["version = 1\n"]
    for package, wheels in locked.items():
        lines.append(f'[[package]]\nname = "{package}"\nversion = "1.0"\nsource = {source}\n')
        if package == "httpx":
            needed = [f'{{ name = "{HTTPCORE}" }}', '{ name = "numpy", marker = "sys_platform == \'win32\'" }']
            lines.append(f"dependencies = [{', '.join(needed)}]\n")
        if package == "onnxruntime":
            lines.append('dependencies = [{ name = "numpy" }, { name = "protobuf" }]\n')
        each = [
            f'{{ url = "https://registry.invalid/{file}", hash = "sha256:{sha}", size = {size} }}'
            for file, sha, size in wheels
        ]
        lines.append(f"wheels = [{', '.join(each)}]\n")
    needed = ", ".join(f'{{ name = "{package}" }}' for package in PACKAGES)
    lines.append(
        f'[[package]]\nname = "troupe"\nversion = "0"\nsource = {{ editable = "." }}\ndependencies = [{needed}]\n'
    )
    return "\n".join(lines)
