"""How large the functions of a stack are, beside what Lambda takes."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from infra.bundling.bundles import MOST_DIRECT, MOST_UNZIPPED, Bundle, Bundles, Zip, largest, megabytes
from infra.bundling.bytecode import compiled_with
from infra.bundling.lock import Target

_LARGEST: Final = 5
_WIDTH: Final = 160


def print_sizes(found: Bundles, target: Target) -> None:
    """One row for all functions that share a zip, and one for each layer."""
    title = f"{target}, {_compiled(target)}; Lambda takes {megabytes(MOST_UNZIPPED)} unzipped with layers"
    table = Table("function", "zip", "layers", "unzipped", f"the {_LARGEST} largest", title=title, show_lines=True)
    for names, bundle in _alike(found.named()):
        layers = sum(layer.size for layer in bundle.layers)
        share = f"{bundle.unzipped / MOST_UNZIPPED:.0%}"
        sizes = (_zip(bundle.code), megabytes(layers), f"{megabytes(bundle.unzipped)} ({share})")
        table.add_row(", ".join(names), *sizes, largest(bundle, _LARGEST))
    layers_made = {layer.sha256: layer for _, bundle in found.named() for layer in bundle.layers}
    for layer in layers_made.values():
        table.add_row("layer", _zip(layer), "", megabytes(layer.unzipped), "")
    console = Console(width=_WIDTH)
    console.print(table)
    console.print(f"* above {megabytes(MOST_DIRECT)}: it is put into a bucket first")


def _alike(named: Sequence[tuple[str, Bundle]]) -> list[tuple[list[str], Bundle]]:
    rows: dict[tuple[str, ...], tuple[list[str], Bundle]] = {}
    for name, bundle in named:
        key = (bundle.code.sha256, *(layer.sha256 for layer in bundle.layers))
        rows.setdefault(key, ([], bundle))[0].append(name)
    return list(rows.values())


def _zip(made: Zip) -> str:
    return megabytes(made.size) + (" *" if made.size > MOST_DIRECT else "")


def _compiled(target: Target) -> str:
    version = compiled_with(target.python)
    if not version:
        return f"without bytecode, since this machine has no Python {target.python}: install one"
    return f"compiled with Python {version}"
