"""Dead letters on a terminal. What agents and events say is printed as it is, never as markup."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from functions.documents.chunks import clean, one_line
from functions.ports.dead_letters import LetterView, Redrive
from functions.ports.state import DeadLetter
from ops.delivering import Delivering
from ops.show import console

__all__ = ["console", "show_dropped", "show_list", "show_one", "show_redrive", "show_redriven"]

DATA_CHARACTERS = 4000  # of an event's data
ERROR_CHARACTERS = 100  # in a list
_UNITS = ((86_400.0, "d"), (3600.0, "h"), (60.0, "min"))


def show_list(screen: Console, letters: Sequence[LetterView], now: datetime) -> None:
    """A line a letter."""
    if not letters:
        screen.print("No dead letters.")
        return
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("key", "agent", "reason", "ago", "conversation", "error"):
        table.add_column(name, no_wrap=name == "key", overflow="fold")
    for view in letters:
        table.add_row(
            *map(_plain, (view.key, view.agent, view.reason, _ago((now - view.at).total_seconds()))),
            _plain(view.conversation),
            _plain(one_line(view.error)[:ERROR_CHARACTERS], style="dim" if view.redriven else ""),
        )
    screen.print(table)


def show_one(screen: Console, view: LetterView, letter: DeadLetter, event: Any) -> None:  # noqa: ANN401 - any JSON
    """Everything about a letter but the envelope's attributes."""
    table = Table(box=None, padding=(0, 2, 0, 0), show_header=False)
    rows = {
        "key": letter.key,
        "agent": letter.agent,
        "reason": letter.reason,
        "error": letter.error,
        "given up": f"{letter.at:%Y-%m-%d %H:%M:%S} UTC, after {letter.attempt} attempts",
        "age": f"{_ago(letter.age_s)} since the event was emitted",
        "request": letter.request,
        "conversation": letter.conversation,
        "tenant": letter.tenant,
        "redriven": f"{view.redriven:%Y-%m-%d %H:%M:%S} UTC, as {view.redriven_as}" if view.redriven else "",
        "event": event["type"] if isinstance(event, dict) else "",
    }
    for name, value in rows.items():
        if value:
            table.add_row(_plain(name, style="bold"), _plain(value))
    screen.print(table)
    for name, text in (("Trace", letter.trace), ("Data", _data(event))):
        if text:
            screen.print(_plain(name, style="bold"))
            screen.print(Padding(_plain(text), (0, 0, 0, 2), expand=False))


def show_redrive(screen: Console, redrive: Redrive) -> None:
    """What came of one letter."""
    if redrive.refused:
        screen.print(_plain(f"{redrive.key}  not redriven: {redrive.refused}", style="red"))
    elif redrive.published:
        screen.print(_plain(f"{redrive.key}  redriven as {redrive.request}"))
    else:
        screen.print(_plain(f"{redrive.key}  done again by an earlier step of {redrive.request}"))


def show_redriven(screen: Console, redrives: Sequence[Redrive], delivering: Delivering) -> None:
    """What came of all of them, and who delivers."""
    refused = sum(1 for each in redrives if each.refused)
    screen.print(f"Redriven: {len(redrives) - refused}. Refused: {refused}.")
    if len(redrives) > refused:
        screen.print(_plain(delivering.says))


def show_dropped(screen: Console, dropped: int, kept: Sequence[str]) -> None:
    """How many are gone, and which are not."""
    screen.print(f"Dropped: {dropped}.")
    for key in kept:
        screen.print(_plain(f"{key}  kept: it changed meanwhile, or its redrive waits for its turn", style="red"))


def _data(event: Any) -> str:  # noqa: ANN401 - any JSON
    data = event.get("data", event.get("dataref")) if isinstance(event, dict) else event
    text = data if isinstance(data, str) else msgspec.json.format(msgspec.json.encode(data)).decode()
    if len(text) <= DATA_CHARACTERS:
        return text
    return f"{text[:DATA_CHARACTERS]}\n… and {len(text) - DATA_CHARACTERS:,} characters more: --json has them all"


def _ago(seconds: float) -> str:
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def _plain(text: str, style: str = "") -> Text:
    """Text that is no markup, and holds nothing that a terminal would act on."""
    return Text(clean(text), style=style)
