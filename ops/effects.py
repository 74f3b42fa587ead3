"""`troupe effects`: what servers outside were asked to do, and what became of it."""

from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from functions.api.callers import DEFAULT_TENANT
from ops.beside import opened_store
from ops.printing import print_json
from ops.usage import Json, Tenant, unicode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functions.adapters.local.effects import LocalEffects

app = typer.Typer(help="What servers outside were asked to do.", no_args_is_help=True)

Conversation = Annotated[str | None, typer.Option(help="Only those of this conversation.", callback=unicode)]
Key = Annotated[str, typer.Argument(help="Of an effect in doubt.", callback=unicode)]
Done = Annotated[bool, typer.Option("--done/--not-done", help="Whether you found that it was done.")]


@app.command("list")
def list_effects(conversation: Conversation = None, tenant: Tenant = DEFAULT_TENANT, as_json: Json = False) -> None:
    """List every effect with its key and its status, the oldest first."""
    with _ledger(tenant) as ledger:
        found = ledger.effects(conversation=conversation)
    if as_json:
        print_json(found)
        return
    from ops import show

    show.show_effects(show.console(), found)


@app.command("settle")
def settle_effect(key: Key, done: Done, tenant: Tenant = DEFAULT_TENANT, as_json: Json = False) -> None:
    """Say what became of an effect in doubt: a redrive takes it as done, or calls its server anew."""
    with _ledger(tenant) as ledger:
        effect = ledger.settle(key, "done" if done else "not done")
    if as_json:
        print_json(effect)
    else:
        typer.echo(f"The effect {effect.key} of {effect.action} is {effect.status}.")


@contextmanager
def _ledger(tenant: str) -> "Iterator[LocalEffects]":
    from functions.adapters.local.effects import LocalEffects

    with opened_store() as store:
        yield LocalEffects(store, store.clock, tenant=tenant)
