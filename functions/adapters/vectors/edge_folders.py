"""What Qdrant Edge's collections are on disk: a folder each, with a marker and the shard that the marker names.

A collection appears under its name only when it is whole, and is changed by what the marker says: so whatever cuts a
step short, the next opening finds the one state or the other.
"""

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from functions.adapters.files import replace_file
from functions.events.decoding import decoder
from functions.ports.vector_stores import (
    NEVER,
    Distance,
    Kind,
    Layout,
    LayoutError,
    RefusedError,
    UnavailableError,
)

if TYPE_CHECKING:
    import qdrant_edge

#: Of the stored points: raise it when points written before can no longer be searched as they are.
FORMAT: Final = 2
DENSE: Final = "dense"
TERMS: Final = "terms"
PAGE_POINTS: Final = 1_000

# Edge maps its files into memory: a write that finds the disk full ends the whole process, so that room is looked
# for before. What one write takes is far less.
_ROOM_BYTES: Final = 64 * 1024**2
# Of the numbers of vectors, the one in a hundred that is farthest from zero is cut to the others' range in 8 bits.
_QUANTILE: Final = 0.99
_BLOCK_BYTES: Final = 64 * 1024
_MARKER_FILE: Final = "collection.json"
_SHARD_FOLDER: Final = "shard"
_FIELDS_OF_1: Final[Mapping[str, Kind]] = {
    "tenant": "keyword",
    "source": "keyword",
    "name": "keyword",
    "labels": "keyword",
    "expires_at": "number",
}


class Marker(msgspec.Struct, frozen=True, kw_only=True):
    """What a collection's folder was made for; the last file that is written when one is made.

    Attributes:
        format: Of the stored points.
        shard: The folder with the points; any other one beside it is the rest of an erasure, or of building an index.
        indexed: How many points its search index was built over.
        counted: What Edge counted as indexed just then: vectors and words, so that it grows with what is stored since.
    """

    format: int
    encoder: str
    dimension: int
    distance: Distance = "cosine"
    fields: Mapping[str, Kind] = {}
    shard: str = _SHARD_FOLDER
    indexed: int = 0
    counted: int = 0


def layout_in(folder: Path) -> Layout | None:
    """What the collection in a folder was made for; None where there is none.

    Raises:
        RefusedError: It is not whole.
        LayoutError: It is of a newer format.
    """
    if not folder.is_dir():
        return None
    marker = read_marker(folder)
    return Layout(
        name=folder.name,
        encoder=marker.encoder,
        dimension=marker.dimension,
        distance=marker.distance,
        fields=marker.fields if marker.format == FORMAT else _FIELDS_OF_1,
    )


def read_marker(folder: Path) -> Marker:
    """What a collection's folder says that it is; see `layout_in` for what is raised."""
    try:
        marker = decoder(Marker).decode((folder / _MARKER_FILE).read_bytes())
    except (OSError, msgspec.MsgspecError) as error:
        raise RefusedError(
            f"{folder} is not a whole collection ({error}): move it away and index its documents again"
        ) from error
    if marker.format > FORMAT:
        raise LayoutError(f"{folder} has format {marker.format}, this Troupe knows up to {FORMAT}: use a newer Troupe")
    return marker


def check_collection(folder: Path) -> None:
    """Raise VectorStoreError unless a folder holds a collection that can be opened; nobody else may have it open."""
    open_shard(folder, read_marker(folder)).close()


def make(folder: Path, layout: Layout) -> None:
    """Make an empty collection, unless one is there."""
    if folder.exists():
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        look_for_room(folder.parent)
        draft = Path(tempfile.mkdtemp(prefix=_draft_prefix(folder), dir=folder.parent))
    except OSError as error:
        raise RefusedError(
            f"no collection can be made in {folder.parent} ({error.strerror or error}): mend that and try again"
        ) from error
    marker = Marker(
        format=FORMAT,
        encoder=layout.encoder,
        dimension=layout.dimension,
        distance=layout.distance,
        fields=dict(layout.fields),
    )
    try:
        shard = _new_shard(draft, marker)
        shard.flush()
        shard.close()
        (draft / _MARKER_FILE).write_bytes(msgspec.json.encode(marker))
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise
    try:
        draft.rename(folder)
    except OSError:  # another process made it meanwhile
        shutil.rmtree(draft)


def load(folder: Path) -> tuple[Marker, "qdrant_edge.EdgeShard"]:
    """Open a collection, in the format of today, and clear what was cut short beside it."""
    marker = read_marker(folder)
    shard = open_shard(folder, marker)
    try:
        if marker.format < FORMAT:
            marker = _brought_up(folder, marker, shard)
    except BaseException:
        shard.close()
        raise
    remove_other_shards(folder, marker)
    for draft in folder.parent.glob(f"{_draft_prefix(folder)}*"):
        shutil.rmtree(draft, ignore_errors=True)
    return marker, shard


def rewrite(
    folder: Path,
    marker: Marker,
    old: "qdrant_edge.EdgeShard",
    erased: Collection[uuid.UUID],
    check: Callable[[], None],
) -> tuple[Marker, "qdrant_edge.EdgeShard"]:
    """Copy a shard without some of its points; the marker names the copy once that is whole and on disk.

    Args:
        folder: Of the collection.
        marker: Names what is copied.
        old: That shard, open.
        erased: The points that are left out.
        check: Called before every page; what it raises ends the copying.
    """
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    look_for_room(folder, _allocated(folder / marker.shard))
    named = _with_shard_of_its_own(msgspec.structs.replace(marker, indexed=0, counted=0))
    shard = _new_shard(folder, named)
    start: qdrant_edge.PointId | None = None
    while True:
        check()
        page = edge.ScrollRequest(offset=start, limit=PAGE_POINTS, with_payload=True, with_vector=True)
        found, start = old.scroll(page)
        kept = [edge.Point(each.id, each.vector or {}, each.payload) for each in found if each.id not in erased]
        if kept:
            shard.update(edge.UpdateOperation.upsert_points(kept))
        if start is None:
            break
    shard.flush()
    replace_marker(folder, named)
    return named, shard


def copied(folder: Path, marker: Marker, check: Callable[[], None]) -> Marker:
    """A marker that names a copy of the shard as it is on disk; nobody writes it meanwhile.

    Nothing names the copy yet: `replace_marker` does, and until then the next opening removes it.

    Args:
        folder: Of the collection.
        marker: Names what is copied.
        check: Called before every file; what it raises ends the copying.
    """
    look_for_room(folder, 3 * _allocated(folder / marker.shard))  # the copy, and what its index is built in
    named = _with_shard_of_its_own(marker)

    source, target = folder / marker.shard, folder / named.shard
    target.mkdir()
    for path in sorted(source.rglob("*")):  # a folder comes before what is in it
        check()
        copy = target / path.relative_to(source)
        if path.is_dir():
            copy.mkdir()
        else:
            _copy_without_holes(path, copy)
    return named


def replace_marker(folder: Path, marker: Marker) -> None:
    """Let the collection be, from now on, what this marker says."""
    replace_file(folder / _MARKER_FILE, msgspec.json.encode(marker))


def remove_other_shards(folder: Path, marker: Marker) -> None:
    """What an erasure replaced, or what one that was cut short had copied."""
    for path in folder.glob(f"{_SHARD_FOLDER}*"):
        if path.name != marker.shard:
            shutil.rmtree(path)


def open_shard(folder: Path, marker: Marker) -> "qdrant_edge.EdgeShard":
    """Open the shard that a marker names.

    Raises:
        RefusedError: It is damaged, or gone.
        UnavailableError: Another process has it open.
    """
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    try:
        return edge.EdgeShard.load(str(folder / marker.shard))
    except BaseException as error:
        if not is_of_edge(error):
            raise
        if "WouldBlock" in str(error):
            raise UnavailableError(
                f"{folder} is in use by another process (or is open twice in this one): stop that one first"
            ) from error
        look_for_room(folder)  # moving the collection away would mend nothing
        raise RefusedError(
            f"{folder} cannot be opened ({error}): move it away and index its documents again"
        ) from error


def remove(folder: Path) -> None:
    """Remove a collection that nobody has open; its name is free at once."""
    if folder.exists():
        check_unused(folder)
        gone = Path(tempfile.mkdtemp(prefix=_draft_prefix(folder), dir=folder.parent))
        folder.rename(gone / folder.name)
    for draft in folder.parent.glob(f"{_draft_prefix(folder)}*"):
        shutil.rmtree(draft)


def check_unused(folder: Path) -> None:
    """Raise UnavailableError where another process has the collection open; a damaged one nobody has."""
    try:
        check_collection(folder)
    except (RefusedError, LayoutError):
        return


def look_for_room(folder: Path, beside: int = 0) -> None:
    """Raise RefusedError where the disk has no room for a write, and for so many bytes beside it."""
    free, wanted = shutil.disk_usage(folder).free, _ROOM_BYTES + beside
    if free < wanted:
        raise RefusedError(
            f"the disk of {folder} has {free / 1024**2:.0f} MB left, and {wanted // 1024**2} MB are wanted: free some"
        )


def is_of_edge(error: BaseException) -> bool:
    """Its errors are plain ones; what it does not expect of a damaged file is a panic, which is no `Exception`."""
    return isinstance(error, Exception) or type(error).__name__ == "PanicException"


def _new_shard(folder: Path, marker: Marker) -> "qdrant_edge.EdgeShard":
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    path = folder / marker.shard
    path.mkdir()
    try:
        shard = edge.EdgeShard.create(str(path), config_of(marker))
        _index(shard, marker.fields)
    except BaseException as error:
        if not is_of_edge(error):
            raise
        raise RefusedError(
            f"no collection can be made in {folder.parent} ({error}): see that files may be written, and try again"
        ) from error
    return shard


def config_of(marker: Marker) -> "qdrant_edge.EdgeConfig":
    """How a shard is set up: its index links 8-bit copies of the vectors, which stay in memory beside the vectors."""
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    distance = edge.Distance.Cosine if marker.distance == "cosine" else edge.Distance.Dot
    return edge.EdgeConfig(
        vectors={DENSE: edge.EdgeVectorParams(size=marker.dimension, distance=distance)},
        sparse_vectors={TERMS: edge.EdgeSparseVectorParams(modifier=edge.Modifier.Idf)},
        quantization_config=edge.ScalarQuantizationConfig(
            edge.ScalarType.Int8, quantile=_QUANTILE, memory=edge.Memory.Pinned
        ),
    )


def _index(shard: "qdrant_edge.EdgeShard", fields: Mapping[str, Kind]) -> None:
    """What is filtered by is indexed; what is indexed already stays so."""
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    for field, kind in fields.items():
        keyword = edge.KeywordIndexParams(is_tenant=field == "tenant")
        index = keyword if kind == "keyword" else edge.FloatIndexParams()
        shard.update(edge.UpdateOperation.create_field_index(field, index))


def _brought_up(folder: Path, marker: Marker, shard: "qdrant_edge.EdgeShard") -> Marker:
    """Bring the points of format 1 to this one: they stay for ever, and say of their work in JSON what they said.

    Vectors and words stay as they are. What was done before the step was cut short is not looked at again.
    """
    import qdrant_edge as edge  # noqa: PLC0415 - slow, and not for all

    look_for_room(folder, _allocated(folder / marker.shard))
    undone = edge.Filter(must=[edge.IsEmptyCondition("expires_at")])
    start: qdrant_edge.PointId | None = None
    while True:
        page = edge.ScrollRequest(offset=start, limit=PAGE_POINTS, filter=undone, with_payload=["work"])
        found, start = shard.scroll(page)
        by_work: dict[str, list[qdrant_edge.PointId]] = {}
        for each in found:
            work = (each.payload or {}).get("work")
            by_work.setdefault(msgspec.json.encode(work).decode() if work else "", []).append(each.id)
        for work, points in by_work.items():
            added = {"work": work, "labels": [], "written": 0.0, "expires_at": NEVER}
            shard.update(edge.UpdateOperation.set_payload(points, added))
        if start is None:
            break
    _index(shard, _FIELDS_OF_1)
    shard.flush()
    changed = msgspec.structs.replace(marker, format=FORMAT, fields=_FIELDS_OF_1)
    replace_marker(folder, changed)
    return changed


def _with_shard_of_its_own(marker: Marker) -> Marker:
    return msgspec.structs.replace(marker, shard=f"{_SHARD_FOLDER}-{uuid.uuid4().hex[:8]}")


def _copy_without_holes(source: Path, target: Path) -> None:
    """What the source has nothing in takes no room in the copy either."""
    with source.open("rb") as read, target.open("wb") as written:
        while block := read.read(_BLOCK_BYTES):
            if block != bytes(len(block)):
                written.write(block)
            else:
                written.seek(len(block), os.SEEK_CUR)
        written.truncate(read.tell())


def _draft_prefix(folder: Path) -> str:
    return f".{folder.name}.draft-"


def _allocated(folder: Path) -> int:
    """What the files take on the disk: most of them are larger, with nothing in them yet."""
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*"))
