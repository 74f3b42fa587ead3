"""`troupe effects`: what servers outside were asked to do, and what became of it."""

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from functions.api.callers import DEFAULT_TENANT
from functions.errors import TroupeError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functions.adapters.local.effects import LocalEffects

effects = typer.Typer(help="What servers outside were asked to do.", no_args_is_help=True)

Tenant = Annotated[str, typer.Option(help="Whose, where the server has keys for several.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Done = Annotated[bool, typer.Option("--done/--not-done", help="Whether you found that it was done.")]


@effects.command("list")
def list_effects(
    conversation: Annotated[str | None, typer.Option(help="Only those of this conversation.")] = None,
    tenant: Tenant = DEFAULT_TENANT,
    as_json: Json = False,
) -> None:
    """Show every effect with its key and its status, oldest first."""
    with _ledger(tenant) as ledger:
        found = ledger.effects(conversation=conversation)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
        return
    from ops import show

    show.show_effects(show.console(), found)


@effects.command("settle")
def settle_effect(
    key: Annotated[str, typer.Argument(help="Of an effect in doubt.")],
    done: Done,
    tenant: Tenant = DEFAULT_TENANT,
) -> None:
    """Say what became of an effect in doubt: a redrive takes it as done, or calls its server anew."""
    with _ledger(tenant) as ledger:
        effect = ledger.settle(key, "done" if done else "not done")
    typer.echo(f"The effect {effect.key} of {effect.action} is {effect.status}.")


@contextmanager
def _ledger(tenant: str) -> "Iterator[LocalEffects]":
    from functions.adapters.local.effects import LocalEffects
    from functions.adapters.local.store import Store
    from local.workspace import home_folder

    home = home_folder()
    if not (home / "troupe.sqlite").exists():
        raise TroupeError(f"there is no store in {home}: name its folder in TROUPE_HOME")
    with closing(Store(home)) as store:
        yield LocalEffects(store, store.clock, tenant=tenant)
