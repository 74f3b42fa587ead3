"""`troupe stop`, `troupe resume` and `troupe stops`: the stop switch, beside a server that is at work or on a stack."""

import getpass
from typing import TYPE_CHECKING, Annotated

import typer

from functions.api.callers import DEFAULT_TENANT
from functions.documents.chunks import clean, one_line
from functions.errors import TroupeError
from functions.ports.stops import Scope, Stop
from ops.opened import opened
from ops.printing import print_json
from ops.usage import Json, Stack, Tenant, UsageError, unicode

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_REASON_CHARACTERS = 500

app = typer.Typer()

Conversation = Annotated[str | None, typer.Option("--conversation", help="A conversation.", callback=unicode)]
Workflow = Annotated[str | None, typer.Option("--workflow", help="Every request of a workflow.")]
Everything = Annotated[bool, typer.Option("--all", help="Everything.")]


@app.command()
def stop(  # noqa: PLR0913, PLR0917 - each is an option of the command
    conversation: Conversation = None,
    workflow: Workflow = None,
    everything: Everything = False,
    tenant: Tenant = DEFAULT_TENANT,
    reason: Annotated[str, typer.Option(help="Why: whoever asks is told so.")] = "",
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Stop a conversation, a workflow or everything, within a second: what is at work ends with an error."""
    scope = _scope(conversation, workflow, tenant, everything=everything)
    why = _reason(reason)
    with opened(stack) as there:
        made = Stop(scope=scope, reason=why, by=_user(), at=there.now())
        there.stops.stop(made)
    _say(made, one_line(f"{made}."), as_json=as_json)


@app.command()
def resume(  # noqa: PLR0913, PLR0917 - each is an option of the command
    conversation: Conversation = None,
    workflow: Workflow = None,
    everything: Everything = False,
    tenant: Tenant = DEFAULT_TENANT,
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Let through again what was stopped; what ended meanwhile has to be asked again."""
    scope = _scope(conversation, workflow, tenant, everything=everything)
    with opened(stack) as there:
        if not there.stops.resume(scope):
            raise TroupeError(f"{scope} is not stopped: `troupe stops` lists what is")
        left = there.stops.listed()
    _say(left, one_line(f"{scope} goes on.{_still(left)}"), as_json=as_json)


@app.command("stops")
def list_stops(stack: Stack = "", as_json: Json = False) -> None:
    """List what is stopped, by whom, and why."""
    with opened(stack) as there:
        listed = there.stops.listed()
    lines = [one_line(f"{each.at:%Y-%m-%d %H:%M:%S} UTC {each}{_whose(each.scope)}") for each in listed]
    _say(listed, "\n".join(lines) or "Nothing is stopped.", as_json=as_json)


def _scope(conversation: str | None, workflow: str | None, tenant: str, *, everything: bool) -> Scope:
    if [conversation is not None, workflow is not None, everything].count(True) != 1:
        raise UsageError("say what: one of --conversation, --workflow and --all")
    if conversation is not None and not conversation.strip():
        raise UsageError("--conversation is empty: name one, or use --all")
    if conversation is not None:
        return Scope(kind="conversation", name=conversation.strip(), tenant=tenant)
    return Scope(kind="stack") if workflow is None else Scope(kind="workflow", name=_known(workflow))


def _known(workflow: str) -> str:
    from functions.workflows.catalog import WORKFLOWS

    if workflow not in WORKFLOWS:
        raise UsageError(f"there is no workflow {workflow!r}: use one of {', '.join(sorted(WORKFLOWS))}")
    return workflow


def _reason(text: str) -> str:
    reason = clean(text).strip()
    if len(reason) > MAX_REASON_CHARACTERS:
        raise UsageError(f"the reason has {len(reason)} characters, and {MAX_REASON_CHARACTERS} are kept: shorten it")
    return reason


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user may have no name
        return ""


def _still(left: "Sequence[Stop]") -> str:
    return f" Still stopped: {', '.join(str(each.scope) for each in left)}." if left else ""


def _whose(scope: Scope) -> str:
    return f" (tenant {scope.tenant})" if scope.kind == "conversation" and scope.tenant != DEFAULT_TENANT else ""


def _say(data: object, text: str, *, as_json: bool) -> None:
    if as_json:
        print_json(data)
    else:
        typer.echo(clean(text))
