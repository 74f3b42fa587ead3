"""`troupe dead-letters`: what agents gave up, looked at, redriven or dropped; beside a process, or on a stack."""

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Annotated, Any

import msgspec
import typer

from functions.errors import TroupeError
from functions.events.envelope import MalformedEnvelopeError, decode
from functions.ports.dead_letters import LetterFilter, LetterView, Redrive
from functions.ports.state import DeadLetter
from functions.runtime.arrival import claimed
from ops.opened import Opened, opened
from ops.printing import print_json
from ops.usage import Json, Stack, UsageError, Yes, confirm, of_stack, per_second, seconds, unicode

EXIT_REFUSED = 1

app = typer.Typer(help="What agents gave up: look at it, redrive it, or drop it.", no_args_is_help=True)

Key = Annotated[str, typer.Argument(help="The letter's key.", callback=unicode)]
Keys = Annotated[list[str] | None, typer.Argument(metavar="[KEY]...", help="The letters' keys.", callback=unicode)]
Agent = Annotated[str, typer.Option("--agent", help="Only those that this agent gave up.", callback=unicode)]
Reason = Annotated[
    str, typer.Option("--reason", help="Only those with this reason, e.g. `attempts exhausted`.", callback=unicode)
]
Conversation = Annotated[str, typer.Option("--conversation", help="Only those of this conversation.", callback=unicode)]
Tenant = Annotated[
    str | None,
    typer.Option("--tenant", help="Only those of this tenant; without it, everybody's.", callback=unicode),
]
Older = Annotated[str, typer.Option("--older-than", help="Only those given up longer ago: 90s, 10m, 2h, 3d.")]
Newer = Annotated[str, typer.Option("--newer-than", help="Only those given up since then: 90s, 10m, 2h, 3d.")]


@app.command("list")
def list_letters(  # noqa: PLR0913, PLR0917 - each is an option of the command
    agent: Agent = "",
    reason: Reason = "",
    conversation: Conversation = "",
    older_than: Older = "",
    newer_than: Newer = "",
    tenant: Tenant = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were redriven.")] = False,
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """List dead letters, the oldest first."""
    from ops import show_letters

    with opened(stack) as there:
        now = there.now()
        wanted = _filter(now, None, agent, reason, conversation, older_than, newer_than, tenant)
        found = _found(there, msgspec.structs.replace(wanted, redriven=everything))
    if as_json:
        print_json(found)
    else:
        show_letters.show_list(show_letters.console(), found, now)


@app.command("show")
def show_letter(key: Key, tenant: Tenant = None, stack: Stack = "", as_json: Json = False) -> None:
    """Show a dead letter: why it was given up, and the event."""
    from ops import show_letters

    with opened(stack) as there:
        (view,) = _found(there, LetterFilter(tenant=tenant, keys=(key,), redriven=True))
        letter = there.letters.letter(view.key, tenant=tenant)
        if letter is None:
            raise TroupeError(f"the letter {key} was dropped meanwhile")
        event = _event(there, letter)
    if as_json:
        told = msgspec.structs.asdict(letter) | {"event": event}
        print_json(told | {"origin": view.origin, "redriven": view.redriven, "redriven_as": view.redriven_as})
    else:
        show_letters.show_one(show_letters.console(), view, letter, event)


@app.command("redrive")
def redrive_letters(  # noqa: PLR0913, PLR0917 - each is an option of the command
    keys: Keys = None,
    agent: Agent = "",
    reason: Reason = "",
    conversation: Conversation = "",
    older_than: Older = "",
    newer_than: Newer = "",
    tenant: Tenant = None,
    everything: Annotated[bool, typer.Option("--everything", help="Every letter that was not redriven.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Also those that were redriven already.")] = False,
    rate: Annotated[str, typer.Option(help="How many letters in which time: 10/s, 600/m, 100/h.")] = "10/s",
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Send events through their agents again, in a new generation with fresh attempts."""
    from ops import show_letters

    pace = per_second(rate, "--rate")
    with opened(stack) as there:
        wanted = _filter(there.now(), keys, agent, reason, conversation, older_than, newer_than, tenant)
        if wanted == LetterFilter(tenant=tenant) and not everything:
            raise UsageError("say which letters: keys, --agent, --reason, --conversation, an age, or --everything")
        views = _found(there, msgspec.structs.replace(wanted, redriven=again))
        redrives = [each for batch in _paced(views, pace) for each in _redrive(there, batch, quiet=as_json)]
        delivering = there.delivering()
    if as_json:
        print_json({"letters": redrives, "at_work": delivering.at_work})
    else:
        show_letters.show_redriven(show_letters.console(), redrives, delivering)
    if any(each.refused for each in redrives):
        raise typer.Exit(EXIT_REFUSED)


def _redrive(there: Opened, batch: Sequence[LetterView], *, quiet: bool) -> Sequence[Redrive]:
    from ops import show_letters

    redrives = there.letters.redrive(batch)
    if not quiet:
        for each in redrives:
            show_letters.show_redrive(show_letters.console(), each)
    return redrives


def _paced(views: Sequence[LetterView], pace: float) -> Iterator[Sequence[LetterView]]:
    """Those of one origin together; the next ones once the time of those before is over."""
    origins: dict[tuple[str, str], list[LetterView]] = {}
    for view in views:
        origins.setdefault((view.tenant, view.origin), []).append(view)
    for number, together in enumerate(origins.values(), 1):
        yield together
        if number < len(origins):
            time.sleep(len(together) / pace)


@app.command("drop")
def drop_letters(  # noqa: PLR0913, PLR0917 - each is an option of the command
    keys: Keys = None,
    agent: Agent = "",
    reason: Reason = "",
    conversation: Conversation = "",
    older_than: Older = "",
    newer_than: Newer = "",
    tenant: Tenant = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were redriven.")] = False,
    yes: Yes = False,
    stack: Stack = "",
    as_json: Json = False,
) -> None:
    """Remove dead letters for good; asks first, unless keys are given."""
    from ops import show_letters

    with opened(stack) as there:
        wanted = _filter(there.now(), keys, agent, reason, conversation, older_than, newer_than, tenant)
        if wanted == LetterFilter(tenant=tenant):
            raise UsageError("say which letters: keys, --agent, --reason, --conversation or an age")
        views = _found(there, msgspec.structs.replace(wanted, redriven=everything or bool(keys)))
        if views and not keys and not yes:
            confirm(
                f"Drop {len(views)} dead letters{of_stack(stack)} for good (`troupe dead-letters list` shows them)?"
            )
        dropped = there.letters.drop(views)
    kept = [view.key for view in views if view not in dropped]
    if as_json:
        print_json({"dropped": [view.key for view in dropped], "kept": kept})
    else:
        show_letters.show_dropped(show_letters.console(), len(dropped), kept)
    if kept:
        raise typer.Exit(EXIT_REFUSED)


def _filter(  # noqa: PLR0913, PLR0917 - each is an option of the command
    now: datetime,
    keys: Sequence[str] | None,
    agent: str,
    reason: str,
    conversation: str,
    older_than: str,
    newer_than: str,
    tenant: str | None,
) -> LetterFilter:
    return LetterFilter(
        tenant=tenant,
        keys=tuple(keys or ()),
        agent=agent,
        reason=reason,
        conversation=conversation,
        before=now - timedelta(seconds=seconds(older_than, "--older-than")) if older_than else None,
        after=now - timedelta(seconds=seconds(newer_than, "--newer-than")) if newer_than else None,
    )


def _found(there: Opened, wanted: LetterFilter) -> Sequence[LetterView]:
    """The letters that are meant; a name that no letter has is told with those that there are."""
    found = there.letters.find(wanted)
    if len(found) < max(1, len(wanted.keys)):
        _refuse_unknown(there, wanted, found)
    return found


def _refuse_unknown(there: Opened, wanted: LetterFilter, found: Sequence[LetterView]) -> None:
    every = there.letters.find(LetterFilter(tenant=wanted.tenant, redriven=True))
    if missing := [key for key in wanted.keys if key not in {view.key for view in every}]:
        raise UsageError(f"there is no dead letter {', '.join(missing)}: `troupe dead-letters list --all` has them all")
    held = [key for key in wanted.keys if key not in {view.key for view in found}]
    if held:
        raise UsageError(f"{', '.join(held)}: redriven already, or not what the options name; --again redrives again")
    agents = {view.agent for view in every} | {name for plan in there.plans.values() for name in plan.nodes}
    if wanted.agent and wanted.agent not in agents:
        raise UsageError(f"there is no agent {wanted.agent!r}: use one of {', '.join(sorted(agents))}")
    reasons = {view.reason for view in every}
    if wanted.reason and reasons and wanted.reason not in reasons:
        raise UsageError(f"no letter has the reason {wanted.reason!r}: use one of {', '.join(sorted(reasons))}")


def _event(there: Opened, letter: DeadLetter) -> Any:  # noqa: ANN401 - whatever the event holds
    """The event as JSON, its data with it; where it is none, what could be read of it."""
    try:
        envelope = decode(letter.event)
    except MalformedEnvelopeError:
        return letter.event.decode(errors="replace")
    with suppress(KeyError):  # the data is no longer kept, and its reference says so
        envelope = claimed(envelope, there.blobs)
    return msgspec.to_builtins(msgspec.json.decode(msgspec.json.encode(envelope)))
