"""What `troupe collections` prints for a person."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table
from rich.text import Text

from functions.adapters.vectors.placement import Checkpoint
from functions.collections.evaluation import Evaluation, Scores
from functions.collections.lifecycle import Status, VersionStatus
from functions.documents.chunks import clean
from functions.ports.catalog import Progress


def console() -> Console:
    """Standard output, as wide as the terminal is."""
    return Console()


@contextmanager
def filling_bar() -> Iterator[Callable[[Progress | None], None]]:
    """A bar on standard error, moved by how far a version is filled; why it stands still is said once."""
    columns = (TextColumn("Filling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    said = ""
    with Bar(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("fill", total=None)

        def move(progress: Progress | None) -> None:
            nonlocal said
            if progress is None:
                return
            bar.update(task, completed=min(progress.done, progress.total), total=progress.total)
            if progress.problem and progress.problem != said:
                bar.console.print(Text(clean(f"It stands still, and goes on by itself: {progress.problem}"), "yellow"))
            said = progress.problem

        yield move


@contextmanager
def moving() -> Iterator[Callable[[Checkpoint], None]]:
    """A line on standard error, changed by how far points are moved."""
    with Console(stderr=True).status("Moving points") as line:

        def told(checkpoint: Checkpoint) -> None:
            at = f"; now those of {checkpoint.collection} at {checkpoint.shard}" if checkpoint.shard else ""
            line.update(Text(clean(f"{checkpoint.moved:,} points are copied{at}")))

        yield told


def show_list(console: Console, found: Sequence[Status]) -> None:
    """The collections, one a line."""
    if not found:
        console.print("There are no collections yet: `troupe collections create` makes one.")
        return
    table = _table("collection", "stands for", "encoder", "versions", "points")
    for each in found:
        current = next(version for version in each.versions if version.is_current)
        others = ", ".join(f"{version.number} {version.phase}" for version in each.versions)
        table.add_row(_plain(each.name), str(current.number), _plain(current.layout.encoder), others, _points(current))
    console.print(table)


def show_status(console: Console, told: Status, said: str) -> None:
    """What was done, and a collection as it is now."""
    if said:
        console.print(_plain(said))
    table = _table("version", "", "encoder", "dimension", "points")
    for each in told.versions:
        marks = [each.phase, *(["current"] if each.is_current else [])]
        marks += ["rollback goes here"] if each.number == told.previous else []
        table.add_row(
            str(each.number),
            ", ".join(marks),
            _plain(each.layout.encoder),
            str(each.layout.dimension),
            _points(each),
        )
    console.print(table)
    for each in told.versions:
        for line in _told(each):
            console.print(_plain(line))
    if told.ttl_s is not None:
        console.print(_plain(f"A point stays for {told.ttl_s:g} s, where it does not say so itself."))


def show_evaluation(console: Console, told: Status, number: int, found: Evaluation) -> None:
    """Both versions side by side, and what that is over."""
    if found.old is not None and found.new is not None:
        table = _table("version", f"recall@{found.k}", "MRR")
        for version, scores in ((told.current, found.old), (number, found.new)):
            table.add_row(str(version), *_figures(scores))
        console.print(table)
        console.print(f"Over {found.questions:,} questions with known answers.", highlight=False)
    if found.overlap is not None:
        console.print(
            f"Of the first {found.k} of one, {found.overlap:.3f} are among those of the other, over {found.samples:,} "
            "stored texts asked of both.",
            highlight=False,
        )
    elif found.questions == 0:
        console.print("Neither found anything: the tenant has no passages.")


def _told(version: VersionStatus) -> Iterator[str]:
    progress = version.progress
    if version.phase == "filling" and progress is not None:
        pace = f", at most {progress.rate:g} a second" if progress.rate else ""
        yield f"Version {version.number}: {progress.done:,} of {progress.total:,} points are copied{pace}."
        if progress.problem:
            yield f"Version {version.number} stands still: {progress.problem}"
    for missing in version.missing:
        yield f"Version {version.number}: {missing}."


def _points(version: VersionStatus) -> str:
    if version.is_gone:
        return "gone from the store"
    return "" if version.points is None else f"{version.points:,}"


def _figures(scores: Scores) -> tuple[str, str]:
    return f"{scores.recall:.3f}", f"{scores.mrr:.3f}"


def _table(*headings: str) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _plain(text: str) -> Text:
    return Text(clean(text))
