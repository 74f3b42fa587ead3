"""`troupe effects`: what servers outside were asked to do, and what became of it."""

from typing import Annotated

import typer

from functions.api.callers import DEFAULT_TENANT
from ops.opened import opened
from ops.printing import print_json
from ops.usage import Json, Stack, Tenant, unicode

app = typer.Typer(help="What servers outside were asked to do.", no_args_is_help=True)

Conversation = Annotated[str | None, typer.Option(help="Only those of this conversation.", callback=unicode)]
Key = Annotated[str, typer.Argument(help="Of an effect in doubt.", callback=unicode)]
Done = Annotated[bool, typer.Option("--done/--not-done", help="Whether you found that it was done.")]


@app.command("list")
def list_effects(
    conversation: Conversation = None, tenant: Tenant = DEFAULT_TENANT, stack: Stack = "", as_json: Json = False
) -> None:
    """List every effect with its key and its status, the oldest first."""
    with opened(stack) as there:
        found = there.effects(tenant).effects(conversation=conversation)
    if as_json:
        print_json(found)
        return
    from ops import show

    show.show_effects(show.console(), found)


@app.command("settle")
def settle_effect(
    key: Key, done: Done, tenant: Tenant = DEFAULT_TENANT, stack: Stack = "", as_json: Json = False
) -> None:
    """Say what became of an effect in doubt: a redrive takes it as done, or calls its server anew."""
    with opened(stack) as there:
        effect = there.effects(tenant).settle(key, "done" if done else "not done")
    if as_json:
        print_json(effect)
    else:
        typer.echo(f"The effect {effect.key} of {effect.action} is {effect.status}.")
