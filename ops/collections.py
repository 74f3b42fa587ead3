"""`troupe collections`: versions of what agents search, made, filled, compared, switched and dropped.

The points belong to one process at a time. Where `troupe run` has them, a command changes the catalog, and that process
does the work; otherwise the command does it itself.
"""

import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from functions.errors import TroupeError
from ops.beside import home_with_store
from ops.printing import print_json
from ops.usage import Json, Stack, Tenant, UsageError, Yes, confirm, per_second, seconds, unicode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from functions.collections.evaluation import Evaluation
    from functions.collections.lifecycle import Status
    from functions.ports.catalog import Catalog, Progress
    from functions.ports.encoders import Encoder
    from functions.ports.vector_stores import VectorStore
    from local.comparing import Wanted
    from local.keeping import Keeping

EXIT_INTERRUPTED = 130
LOOK_S = 0.1
SAMPLES = 200
PATIENCE_S = 600.0  # for a comparison by the process that has the points

app = typer.Typer(help="Collections: change their encoder while they are in use.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The collection, e.g. `python` or `memories`.", callback=unicode)]
EncoderName = Annotated[
    str, typer.Option("--encoder", help="An encoder's short name or version; a wrong one lists them.", callback=unicode)
]


@app.command("create")
def create_collection(
    name: Name,
    encoder: EncoderName = "minilm",
    ttl: Annotated[str, typer.Option("--ttl", help="How long a point stays: 90s, 10m, 2h, 30d; else for ever.")] = "",
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Make a collection, empty."""
    from functions.collections.lifecycle import create
    from functions.collections.opening import made

    ttl_s = seconds(ttl, "--ttl") if ttl else None
    if ttl_s == 0:
        raise UsageError("--ttl is 0: a point has to stay for a while; leave it out for points that stay for ever")
    with _keeping(stack) as kept:
        entry = create(kept.catalog, name, _encoder(kept, encoder), ttl_s=ttl_s, now=kept.now())
        if kept.kept is not None:
            made(entry, catalog=kept.catalog, store=kept.kept.store)
            said = f"{name} is there, empty."
        else:
            said = f"{name} is listed: process {kept.at_work} makes it."
        _tell(kept, name, as_json=as_json, said=said)


@app.command("list")
def list_collections(stack: Stack = "", as_json: Json = False) -> None:
    """List the collections, with the version that each name stands for."""
    from functions.collections.lifecycle import status
    from ops import show_collections

    with _looked_at(stack) as shelves:
        found = [status(catalog, entry.name, store) for catalog, store in shelves for entry in catalog.entries()]
    if as_json:
        print_json(found)
    else:
        show_collections.show_list(show_collections.console(), found)


@app.command("status")
def show_status(name: Name, stack: Stack = "", as_json: Json = False) -> None:
    """Show the versions of a collection, how far they are filled, and who could not use them."""
    from functions.collections.lifecycle import status

    with _looked_at(stack) as shelves:
        catalog, store = next((each for each in shelves if each[0].read(name)), shelves[0])
        _print(status(catalog, name, store), as_json=as_json, said="")


@app.command("migrate")
def migrate(
    name: Name,
    encoder: EncoderName = "",
    rate: Annotated[str, typer.Option(help="How many points are copied in which time: 100/s, 6000/m.")] = "",
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Fill a new version with another encoder, or go on where that was cut off; follows until it is whole."""
    from functions.collections.lifecycle import begin, set_rate

    pace = per_second(rate, "--rate") if rate else None
    with _keeping(stack) as kept:
        if encoder:
            number = begin(kept.catalog, name, _encoder(kept, encoder), rate=pace, now=kept.now())
        else:
            number = _being_filled(kept, name)
        if rate:
            set_rate(kept.catalog, name, number, pace)
        _follow(kept, name, number, quiet=as_json)
        _tell(kept, name, as_json=as_json, said=_filled(name, number))


@app.command("evaluate")
def evaluate(  # noqa: PLR0913, PLR0917 - each is an option of the command
    name: Name,
    number: Annotated[int | None, typer.Argument(help="The version to compare; without it, the newest.")] = None,
    questions: Annotated[
        Path | None, typer.Option("--questions", help="JSON lines: `question`, with `ids` or `sources` that answer it.")
    ] = None,
    samples: Annotated[int, typer.Option(min=0, max=10_000, help="How many stored texts are asked of both.")] = SAMPLES,
    k: Annotated[int, typer.Option("-k", min=1, max=50, help="How many passages of each answer count.")] = 10,
    seed: Annotated[int, typer.Option(help="Chooses the stored texts.")] = 0,
    tenant: Tenant = "default",
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Compare the current version with another one, by what both find; changes nothing."""
    from functions.collections.evaluation import read_questions
    from local.comparing import Wanted
    from ops import show_collections

    asked = tuple(read_questions(_text_of(questions))) if questions else ()
    if not asked and not samples:
        raise UsageError("there is nothing to compare by: give --questions, or --samples above 0")
    with _keeping(stack) as kept:
        wanted = Wanted(
            collection=name,
            number=_other(kept, name, number),
            questions=asked,
            samples=samples,
            seed=seed,
            k=k,
            tenant=tenant,
        )
        found = _evaluation(kept, wanted)
        told = _status(kept, name)
    if as_json:
        print_json({"collection": name, "old": told.current, "new": wanted.number, "evaluation": found})
    else:
        show_collections.show_evaluation(show_collections.console(), told, wanted.number, found)


@app.command("switch")
def switch_version(
    name: Name,
    number: Annotated[int | None, typer.Argument(help="The version; without it, the newest.")] = None,
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Let the name stand for another version, at once and for everybody."""
    from functions.collections.lifecycle import switch

    with _keeping(stack) as kept:
        entry = switch(kept.catalog, name, number, store=kept.kept.store if kept.kept else None)
        _tell(kept, name, as_json=as_json, said=f"{name} stands for version {entry.current}.")


@app.command("rollback")
def roll_back(name: Name, stack: Stack = "", as_json: Json = False) -> None:
    """Let the name stand for what it stood for before the last switch."""
    from functions.collections.lifecycle import rollback

    with _keeping(stack) as kept:
        entry = rollback(kept.catalog, name, store=kept.kept.store if kept.kept else None)
        _tell(kept, name, as_json=as_json, said=f"{name} stands for version {entry.current} again.")


@app.command("drop")
def drop_version(
    name: Name,
    number: Annotated[int, typer.Argument(help="The version.")],
    yes: Yes = False,
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Remove a version and its points for good; never the one that the name stands for."""
    from functions.collections.entries import entry_of
    from functions.collections.lifecycle import remove_dropped, take_out

    with _keeping(stack) as kept:
        entry = entry_of(kept.catalog, name)
        if not yes and entry.version(number) is not None and number != entry.current:
            confirm(f"Remove version {number} of {name} with its points for good?")
        take_out(kept.catalog, name, number)
        if kept.kept is not None:
            remove_dropped(kept.catalog, kept.kept.store, name)
            said = f"Version {number} of {name} is removed."
        else:
            said = f"Version {number} of {name} is out of use: process {kept.at_work} removes its points."
        _tell(kept, name, as_json=as_json, said=said)


@app.command("rebalance")
def rebalance(stack: Stack = "", as_json: Json = False) -> None:
    """Bring the points to the services that TROUPE_VECTOR_URL lists now, or go on with that; while nobody uses them."""
    from local.spreading import spread
    from ops import show_collections

    _refuse_stack(stack)
    try:
        with show_collections.moving() as told:
            moved, urls = spread(home_with_store(), told)
    except KeyboardInterrupt:
        typer.echo("Stopped: `troupe collections rebalance` goes on from here.", err=True)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if as_json:
        print_json({"moved": moved, "services": urls})
    else:
        typer.echo(f"{moved:,} points were moved; they are at {', '.join(urls)}.")


@contextmanager
def _keeping(stack: str) -> "Iterator[Keeping]":
    from local.keeping import keeping

    _refuse_stack(stack)
    with keeping(home_with_store()) as kept:
        yield kept


@contextmanager
def _looked_at(stack: str) -> "Iterator[Sequence[tuple[Catalog, VectorStore | None]]]":
    """Catalogs, each with its vectors where they are open here."""
    if stack:
        from ops.stack import opened_stack

        with opened_stack(stack) as there:
            yield [(catalog, None) for catalog in there.catalogs]
    else:
        with _keeping(stack) as kept:
            yield [(kept.catalog, kept.kept.store if kept.kept else None)]


def _refuse_stack(stack: str) -> None:
    if stack:
        raise UsageError(
            f"only `list` and `status` look into {stack}: its deploy makes the collections that its settings declare; "
            "for another encoder, deploy a second stack that declares it, and read the documents into that"
        )


def _encoder(kept: "Keeping", name: str) -> "Encoder":
    return kept.encoders.encoder(kept.encoders.version_of(name))


def _status(kept: "Keeping", name: str) -> "Status":
    from functions.collections.lifecycle import status

    return status(kept.catalog, name, kept.kept.store if kept.kept else None)


def _tell(kept: "Keeping", name: str, *, as_json: bool, said: str) -> None:
    _print(_status(kept, name), as_json=as_json, said=said)


def _print(told: "Status", *, as_json: bool, said: str) -> None:
    from ops import show_collections

    if as_json:
        print_json(told)
    else:
        show_collections.show_status(show_collections.console(), told, said)


def _being_filled(kept: "Keeping", name: str) -> int:
    filling = [each.number for each in _status(kept, name).versions if each.phase == "filling"]
    if not filling:
        raise UsageError(f"no version of {name} is being filled: say --encoder for a new one")
    return filling[0]


def _filled(name: str, number: int) -> str:
    return (
        f"Version {number} of {name} is whole. `troupe collections evaluate {name}` compares it, `switch {name}` lets "
        "the name stand for it."
    )


def _follow(kept: "Keeping", name: str, number: int, *, quiet: bool) -> None:
    """Show how far a version is filled until it is whole; Ctrl-C ends the showing, and a filling that is ours."""
    from local.filling import Filling

    with ExitStack() as stack:
        bar = stack.enter_context(_bar(quiet=quiet))
        try:
            if kept.kept is not None:
                stack.enter_context(Filling(kept.kept, kept.home))
            while _is_filling(kept, name, number):
                bar(kept.catalog.progress(name, number))
                _refuse_abandoned(kept, name)
                time.sleep(LOOK_S)
        except KeyboardInterrupt:
            typer.echo(_left(kept, name, number), err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None


def _is_filling(kept: "Keeping", name: str, number: int) -> bool:
    from functions.collections.entries import entry_of, version_of

    return version_of(entry_of(kept.catalog, name), number).phase == "filling"


def _refuse_abandoned(kept: "Keeping", name: str) -> None:
    if kept.kept is None and kept.at_work not in {str(pid) for pid in kept.living()}:
        raise TroupeError(
            f"process {kept.at_work}, which had {name}, is gone: run the command again, and it does the work itself"
        )


def _left(kept: "Keeping", name: str, number: int) -> str:
    if kept.kept is None:
        return (
            f"Version {number} of {name} is still being filled, by process {kept.at_work}: `troupe collections status "
            f"{name}` says how far it is, `drop {name} {number}` ends it."
        )
    return f"Stopped: `troupe collections migrate {name}` goes on from here, and so does `troupe run`."


@contextmanager
def _bar(*, quiet: bool) -> "Iterator[Callable[[Progress | None], None]]":
    if quiet:
        yield lambda _: None
        return
    from ops.show_collections import filling_bar

    with filling_bar() as bar:
        yield bar


def _evaluation(kept: "Keeping", wanted: "Wanted") -> "Evaluation":
    from local.comparing import ask, compared, forget, told

    if kept.kept is not None:
        return compared(wanted, kept.kept)
    asked = ask(kept.home, wanted)
    until = time.monotonic() + PATIENCE_S
    try:
        while time.monotonic() < until:
            if (found := told(asked)) is not None:
                return found
            _refuse_abandoned(kept, wanted.collection)
            time.sleep(LOOK_S)
    finally:
        forget(asked)
    raise TroupeError(f"process {kept.at_work} did not compare the versions in {PATIENCE_S:.0f} s: ask fewer --samples")


def _other(kept: "Keeping", name: str, number: int | None) -> int:
    from functions.collections.entries import entry_of, version_of

    entry = entry_of(kept.catalog, name)
    wanted = version_of(entry, number if number is not None else entry.versions[-1].number).number
    if wanted == entry.current:
        there = ", ".join(str(each.number) for each in entry.versions)
        raise UsageError(f"{name} stands for version {wanted}: name another one to compare it with; there are {there}")
    return wanted


def _text_of(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the questions in {path} cannot be read ({error})") from error
