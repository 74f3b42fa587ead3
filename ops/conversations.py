"""`troupe conversations`: what is held about a conversation is shown, handed over, and erased."""

import os
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Annotated

import msgspec
import typer

from functions.api.callers import DEFAULT_TENANT
from functions.documents.chunks import clean
from functions.errors import TroupeError
from functions.ports.rights import Export, Holdings
from ops.opened import opened
from ops.printing import print_json
from ops.usage import Json, Stack, Tenant, Yes, confirm, of_stack, unicode

MESSAGES_SHOWN = 20
SHOWN_CHARACTERS = 200  # of a message


app = typer.Typer(help="Show, export and erase what is held about a conversation.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(help="The conversation's name.", callback=unicode)]


@app.command("list")
def list_conversations(tenant: Tenant = DEFAULT_TENANT, stack: Stack = "", as_json: Json = False) -> None:
    """List the conversations about which anything is held."""
    with opened(stack) as there:
        found = there.rights.conversations(tenant=tenant)
    if as_json:
        print_json(found)
        return
    if not found:
        typer.echo("Nothing is held.")
    for each in found:
        typer.echo(f"{clean(each.conversation)}: {_counted(each)}")


@app.command()
def show(conversation: Name, tenant: Tenant = DEFAULT_TENANT, stack: Stack = "", as_json: Json = False) -> None:
    """Show how much is held about a conversation, where, and what was said last."""
    with opened(stack) as there:
        held = there.rights.holdings(conversation, tenant=tenant)
        if held is None:
            raise _nothing(conversation, tenant)
        messages = there.conversations.messages(conversation, tenant=tenant, limit=MESSAGES_SHOWN)
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
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Write everything that is held about a conversation as one JSON document."""
    with opened(stack) as there:
        found = there.rights.export(conversation, tenant=tenant)
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
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Erase everything that is held about a conversation, for good: also from the files, and what is running."""
    with opened(stack) as there:
        held = there.rights.holdings(conversation, tenant=tenant)
        if held is not None and not yes:
            confirm(f"Erase {clean(conversation)}{of_stack(stack)} for good ({_counted(held)})?")
        erased = there.rights.erase(conversation, tenant=tenant)
        left = there.finish()
    if erased is None:
        raise _nothing(conversation, tenant)
    if as_json:
        print_json(erased)
    elif erased.items:
        typer.echo(f"Erased {clean(conversation)}: {_counted(erased)}{f'; {left}' if left else '.'}")
    else:
        typer.echo(f"{clean(conversation)} was erased before; {left or 'now it is gone from the files too.'}")


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
