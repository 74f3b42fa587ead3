"""`troupe conversations`: what is held about a conversation is shown, handed over, and erased."""

import os
import time
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from functions.api.callers import DEFAULT_TENANT
from functions.documents.chunks import clean
from functions.errors import TroupeError
from functions.ports.rights import Export, Holdings
from ops.beside import opened_store
from ops.printing import print_json
from ops.usage import Json, Tenant, Yes, confirm, unicode

if TYPE_CHECKING:
    from functions.adapters.local.rights import LocalRights
    from functions.adapters.local.store import Store

FILES_S = 60.0  # that the process in the folder may take to remove what was erased from its files
PAUSE_S = 0.1
MESSAGES_SHOWN = 20
SHOWN_CHARACTERS = 200  # of a message


app = typer.Typer(help="Show, export and erase what is held about a conversation.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The conversation's name.", callback=unicode)]


@app.command("list")
def list_conversations(tenant: Tenant = DEFAULT_TENANT, as_json: Json = False) -> None:
    """List the conversations about which anything is held."""
    with opened_store() as store:
        found = _rights(store).conversations(tenant=tenant)
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("Nothing is held.")
    for each in found:
        typer.echo(f"{clean(each.conversation)}: {_counted(each)}")


@app.command()
def show(conversation: Name, tenant: Tenant = DEFAULT_TENANT, as_json: Json = False) -> None:
    """Show how much is held about a conversation, where, and what was said last."""
    from functions.adapters.local.conversations import LocalConversations

    with opened_store() as store:
        held = _rights(store).holdings(conversation, tenant=tenant)
        if held is None:
            raise _nothing(conversation, tenant)
        read = LocalConversations(store, store.clock)
        messages = read.messages(conversation, tenant=tenant, limit=MESSAGES_SHOWN)
    if as_json:
        print_json({**msgspec.to_builtins(held), "messages": messages})
        return
    for place, count in held.items.items():
        typer.echo(f"{count:>6,} {place}")
    for message in messages:
        text = clean(message.text)
        shown = text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"
        typer.echo(f"{message.at:%Y-%m-%d %H:%M} {message.role}: {shown}")


@app.command()
def export(
    conversation: Name,
    to: Annotated[str, typer.Option("--to", help="The file to write; - for standard output.")] = "-",
    tenant: Tenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """Write everything that is held about a conversation as one JSON document."""
    with opened_store() as store:
        found = _rights(store).export(conversation, tenant=tenant)
    if found is None:
        raise _nothing(conversation, tenant)
    if to == "-":
        print_json(found)
        return
    _write(Path(to), found)
    items = {place: len(rows) for place, rows in found.places.items()} | {"blobs": len(found.blobs)}
    held = Holdings(conversation=conversation, items={place: count for place, count in items.items() if count})
    if as_json:
        print_json({"file": to, **msgspec.to_builtins(held)})
    else:
        typer.echo(f"Wrote {to}: {_counted(held)}.")


@app.command()
def erase(
    conversation: Name,
    yes: Yes = False,
    tenant: Tenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """Erase everything that is held about a conversation, for good: also from the files, and what is running."""
    with opened_store() as store:
        rights = _rights(store)
        held = rights.holdings(conversation, tenant=tenant)
        if held is not None and not yes:
            confirm(f"Erase {clean(conversation)} for good ({_counted(held)})?")
        erased = rights.erase(conversation, tenant=tenant)
        _finish(store)
    if erased is None:
        raise _nothing(conversation, tenant)
    if as_json:
        print_json(erased)
    elif erased.items:
        typer.echo(f"Erased {clean(conversation)}: {_counted(erased)}.")
    else:
        typer.echo(f"{clean(conversation)} was erased before; now it is gone from the files too.")


def _finish(store: "Store") -> None:
    """See that what was erased is in no file any more: by whoever has the collections, else by this process."""
    from functions.adapters.local.erasing import pending
    from functions.adapters.local.members import LockedError, locked

    until, holder = time.monotonic() + FILES_S, ""
    while pending(store):
        if time.monotonic() > until:
            raise TroupeError(
                f"it is erased, but still in files of {store.folder}, where {_who(holder)}: "
                "see its log, then say this again"
            )
        try:
            with locked(store.folder / "workspace.lock"):
                holder = ""
                _finish_here(store)
        except LockedError as error:
            holder = str(error)
        time.sleep(PAUSE_S)


def _who(holder: str) -> str:
    return f"process {holder} is at work" if holder else "another process reads"


def _finish_here(store: "Store") -> None:
    from functions.adapters.local.blobs import LocalBlobs
    from functions.adapters.local.erasing import Erasures
    from functions.adapters.local.holding import Holding
    from functions.adapters.vectors.settings import vector_settings
    from local.points import Points

    points = Points(store, (), vectors=vector_settings(os.environ))
    Erasures(store, LocalBlobs(store.folder / "blobs"), Holding(store, store.clock), points).finish()


def _rights(store: "Store") -> "LocalRights":
    from functions.adapters.local.blobs import LocalBlobs
    from functions.adapters.local.rights import LocalRights

    return LocalRights(store, LocalBlobs(store.folder / "blobs"), store.clock)


def _write(path: Path, found: Export) -> None:
    """Whole or not at all, and for nobody else to read."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}", delete=False) as draft:  # its mode is 0600
        try:
            draft.write(msgspec.json.format(msgspec.json.encode(found)))
            draft.flush()
            os.fsync(draft.fileno())
            Path(draft.name).replace(path)
        except BaseException:
            Path(draft.name).unlink(missing_ok=True)
            raise


def _nothing(conversation: str, tenant: str) -> TroupeError:
    return TroupeError(
        f"nothing is held about {conversation!r} of the tenant {tenant!r}: `troupe conversations list` names what is"
    )


def _counted(held: Holdings) -> str:
    return ", ".join(f"{count:,} {place}" for place, count in held.items.items())
