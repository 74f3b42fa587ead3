"""`troupe dead-letters`: what agents gave up, to be looked at, redriven or dropped, also beside a running process."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from functions.errors import TroupeError
from functions.events.envelope import MalformedEnvelopeError, decode
from functions.ports.dead_letters import LetterFilter, LetterView, Redrive
from functions.ports.state import DeadLetter
from functions.runtime.arrival import claimed
from functions.runtime.topology import topology
from functions.workflows.catalog import WORKFLOWS
from ops.beside import opened_store
from ops.printing import print_json
from ops.usage import Json, UsageError, Yes, confirm, per_second, seconds, unicode

if TYPE_CHECKING:
    from functions.adapters.local.store import Store

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


class _Opened:
    """The store with its dead letters, opened beside whoever is at work on it."""

    def __init__(self, store: "Store") -> None:
        from functions.adapters.local.blobs import LocalBlobs
        from functions.adapters.local.dead_letters import LocalDeadLetters
        from functions.adapters.local.rows import Routes
        from functions.adapters.local.sharing import learn_plans

        self.plans = topology(*WORKFLOWS.values())
        self.blobs = LocalBlobs(store.folder / "blobs")
        routes = Routes(self.plans.values())
        learn_plans(store, routes, routes.versions)
        self.letters = LocalDeadLetters(store, routes, self.blobs, store.clock, in_doubt=self._in_doubt)
        self.now = store.clock
        self._store = store

    def at_work(self) -> list[int]:
        """The processes that deliver what is redriven here."""
        from functions.adapters.local.sharing import at_work

        return at_work(self._store)

    def _in_doubt(self, tenant: str, request: str) -> bool:
        """Whether a redrive would come to an effect that is not repeated: where a server honours keys, it is."""
        from functions.adapters.local.effects import LocalEffects

        effects = LocalEffects(self._store, self._store.clock, tenant=tenant).in_doubt(request)
        return not all(effect.sent.key_header for effect in effects)


@contextmanager
def _opened() -> Iterator[_Opened]:
    with opened_store() as store:
        yield _Opened(store)


@app.command("list")
def list_letters(  # noqa: PLR0913, PLR0917 - each is an option of the command
    agent: Agent = "",
    reason: Reason = "",
    conversation: Conversation = "",
    older_than: Older = "",
    newer_than: Newer = "",
    tenant: Tenant = None,
    everything: Annotated[bool, typer.Option("--all", help="Also those that were redriven.")] = False,
    as_json: Json = False,
) -> None:
    """List dead letters, the oldest first."""
    from ops import show_letters

    with _opened() as opened:
        now = opened.now()
        wanted = _filter(now, None, agent, reason, conversation, older_than, newer_than, tenant)
        found = _found(opened, msgspec.structs.replace(wanted, redriven=everything))
    if as_json:
        print_json(found)
    else:
        show_letters.show_list(show_letters.console(), found, now)


@app.command("show")
def show_letter(key: Key, tenant: Tenant = None, as_json: Json = False) -> None:
    """Show a dead letter: why it was given up, and the event."""
    from ops import show_letters

    with _opened() as opened:
        (view,) = _found(opened, LetterFilter(tenant=tenant, keys=(key,), redriven=True))
        letter = opened.letters.letter(view.key, tenant=tenant)
        if letter is None:
            raise TroupeError(f"the letter {key} was dropped meanwhile")
        event = _event(opened, letter)
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
    as_json: Json = False,
) -> None:
    """Send events through their agents again, in a new generation with fresh attempts."""
    from ops import show_letters

    pace = per_second(rate, "--rate")
    with _opened() as opened:
        wanted = _filter(opened.now(), keys, agent, reason, conversation, older_than, newer_than, tenant)
        if wanted == LetterFilter(tenant=tenant) and not everything:
            raise UsageError("say which letters: keys, --agent, --reason, --conversation, an age, or --everything")
        views = _found(opened, msgspec.structs.replace(wanted, redriven=again))
        redrives = [each for batch in _paced(views, pace) for each in _redrive(opened, batch, quiet=as_json)]
        at_work = opened.at_work()
    if as_json:
        print_json({"letters": redrives, "at_work": at_work})
    else:
        show_letters.show_redriven(show_letters.console(), redrives, at_work)
    if any(each.refused for each in redrives):
        raise typer.Exit(EXIT_REFUSED)


def _redrive(opened: _Opened, batch: Sequence[LetterView], *, quiet: bool) -> Sequence[Redrive]:
    from ops import show_letters

    redrives = opened.letters.redrive(batch)
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
    as_json: Json = False,
) -> None:
    """Remove dead letters for good; asks first, unless keys are given."""
    from ops import show_letters

    with _opened() as opened:
        wanted = _filter(opened.now(), keys, agent, reason, conversation, older_than, newer_than, tenant)
        if wanted == LetterFilter(tenant=tenant):
            raise UsageError("say which letters: keys, --agent, --reason, --conversation or an age")
        views = _found(opened, msgspec.structs.replace(wanted, redriven=everything or bool(keys)))
        if views and not keys and not yes:
            confirm(f"Drop {len(views)} dead letters for good (`troupe dead-letters list` shows them)?")
        dropped = opened.letters.drop(views)
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


def _found(opened: _Opened, wanted: LetterFilter) -> Sequence[LetterView]:
    """The letters that are meant; a name that no letter has is told with those that there are."""
    found = opened.letters.find(wanted)
    if len(found) < max(1, len(wanted.keys)):
        _refuse_unknown(opened, wanted, found)
    return found


def _refuse_unknown(opened: _Opened, wanted: LetterFilter, found: Sequence[LetterView]) -> None:
    every = opened.letters.find(LetterFilter(tenant=wanted.tenant, redriven=True))
    if missing := [key for key in wanted.keys if key not in {view.key for view in every}]:
        raise UsageError(f"there is no dead letter {', '.join(missing)}: `troupe dead-letters list --all` has them all")
    held = [key for key in wanted.keys if key not in {view.key for view in found}]
    if held:
        raise UsageError(f"{', '.join(held)}: redriven already, or not what the options name; --again redrives again")
    agents = {view.agent for view in every} | {name for plan in opened.plans.values() for name in plan.nodes}
    if wanted.agent and wanted.agent not in agents:
        raise UsageError(f"there is no agent {wanted.agent!r}: use one of {', '.join(sorted(agents))}")
    reasons = {view.reason for view in every}
    if wanted.reason and reasons and wanted.reason not in reasons:
        raise UsageError(f"no letter has the reason {wanted.reason!r}: use one of {', '.join(sorted(reasons))}")


def _event(opened: _Opened, letter: DeadLetter) -> Any:  # noqa: ANN401 - whatever the event holds
    """The event as JSON, its data with it; where it is none, what could be read of it."""
    try:
        envelope = decode(letter.event)
    except MalformedEnvelopeError:
        return letter.event.decode(errors="replace")
    with suppress(KeyError):  # the data is no longer kept, and its reference says so
        envelope = claimed(envelope, opened.blobs)
    return msgspec.to_builtins(msgspec.json.decode(msgspec.json.encode(envelope)))
