"""What the commands print for a person."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.padding import Padding
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from functions.api.views import Request
from functions.documents.chunks import clean
from functions.documents.sync import Report
from functions.events.answer import Making, ResponseReady
from functions.events.common import Passage
from functions.ports.effects import UNSETTLED, Effect
from functions.runtime.workflow import Plan
from ops.explain import Explanation

if TYPE_CHECKING:
    from ops.aws_policy import Policy

BAR_WIDTH = 28
NARROW = 50  # columns of a terminal in which short headings are used
COLUMNS_BESIDE_BAR = 52  # of the terminal, for the rest of the table
SHOWN_CHARACTERS = 400  # of a passage
_WITHOUT_A_MODEL = "extractive, without a language model"


def console() -> Console:
    """Standard output, as wide as the terminal is."""
    return Console()


@contextmanager
def reading_bar(total: int) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, moved by what is done and what there is to do."""
    columns = (TextColumn("Reading the documents"), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("read", total=total)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def show_report(console: Console, title: str, report: Report, ignored: int, *, skipped_shown: int) -> None:
    """What reading the documents did, with so many of the skipped; nothing where there was nothing to do."""
    read = len(report.added) + len(report.changed)
    if read or report.removed:
        console.print(
            f"Read {title}: {read} new or changed, {report.unchanged} unchanged, {len(report.removed)} removed; "
            f"{_counted(report.written, 'passage')} written, {report.deleted} deleted.",
            style="dim",
            markup=False,
        )
    if ignored:
        console.print(f"Not read, for their format: {_counted(ignored, 'file')}.", style="dim")
    if report.skipped:
        console.print(f"Skipped, since it could not be read: {_counted(len(report.skipped), 'file')}.", style="yellow")
        for skipped in report.skipped[:skipped_shown]:
            console.print(_plain(f"  {skipped.source}: {skipped.reason}", style="yellow"))
        if len(report.skipped) > skipped_shown:
            console.print("  … and more: `troupe ingest` names them all.", style="yellow")


def show_unchanged(console: Console, title: str, report: Report) -> None:
    """That there was nothing to read."""
    console.print(f"Nothing changed in {title}: {_counted(report.unchanged, 'document')}.", markup=False)


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def show_answer(console: Console, question: str, response: ResponseReady) -> None:
    """The answer, its notes and its sources."""
    console.print()
    console.print(_plain(question.strip(), style="bold"))
    console.print()
    for paragraph in filter(None, response.text.splitlines()):
        console.print(Padding(_plain(paragraph), (0, 0, 0, 2), expand=False))
        console.print()
    for note in response.notes:
        console.print(Padding(_plain(note, style="yellow"), (0, 0, 0, 2), expand=False))
    if response.citations:
        console.print("Sources", style="bold")
        for citation in response.citations:
            reference = citation.reference or f"{citation.name}  ({citation.source})"
            console.print(_plain(f"  [{citation.number}] {reference}"))


def show_waterfall(console: Console, view: Request) -> None:
    """What each agent did: start, duration and attempts."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("agent", no_wrap=True)
    table.add_column("start", justify="right", overflow="fold")
    bar_width = min(BAR_WIDTH, console.width - COLUMNS_BESIDE_BAR)
    if bar_width > 0:
        table.add_column("")
    for name, short in (("duration", "took"), ("attempts", "tries")):
        table.add_column(name if console.width >= NARROW else short, justify="right", overflow="fold")
    end = view.settled or view.accepted
    total = max((end - view.accepted).total_seconds(), 0.001)
    for delivery in view.deliveries:
        started = ((delivery.started or view.accepted) - view.accepted).total_seconds()
        finished = ((delivery.finished or end) - view.accepted).total_seconds()
        left = min(int(bar_width * started / total), bar_width - 1)
        width = max(1, round(bar_width * (finished - started) / total))
        bar = Text(" " * left + "█" * min(width, bar_width - left), style="red" if delivery.error else "cyan")
        table.add_row(
            _plain(delivery.agent, style="red" if delivery.error else ""),
            f"{started * 1000:.0f} ms",
            *([bar] if bar_width > 0 else []),
            f"{(finished - started) * 1000:.0f} ms",
            str(delivery.attempts),
        )
    console.print()
    console.print("Agents", style="bold")
    console.print(table)


def show_making(console: Console, view: Request, response: ResponseReady) -> None:
    """How the answer was made, in one or two sentences."""
    making = response.making
    took = ((view.settled or view.accepted) - view.accepted).total_seconds()
    console.print()
    if making.method == "action":
        console.print(f"How it was made: nothing was asked, one thing was done, in {took * 1000:.0f} ms.")
        return
    facts: tuple[tuple[str, object], ...] = (
        ("rounds", making.rounds),
        ("searches", len(making.queries)),
        ("passages", making.passages),
        ("sentences read", making.considered),
        ("dropped without support", making.dropped),
        ("written" if making.method == "model" else "chosen", len(response.sentences)),
    )
    if making.unsupported:
        facts = (*facts, ("left out of what it wrote", making.unsupported))
    if making.model:
        facts = (*facts, ("tokens", view.tokens), ("dollars", f"{view.micros / 1e6:.6f}"))
    console.print(
        f"How it was made: {_way(making)}; "
        + ", ".join(f"{name} {count}" for name, count in facts)
        + f". It took {took * 1000:.0f} ms.",
        highlight=False,
        markup=False,
    )


def _way(making: Making) -> str:
    if making.method == "model":
        return f"written by {clean(making.model)} from the sources"
    return f"extractive, though {clean(making.model)} had a part in it" if making.model else _WITHOUT_A_MODEL


def show_passages(console: Console, passages: Sequence[Passage]) -> None:
    """What a search found, best first."""
    for passage in passages:
        console.print(_plain(f"{passage.score:.3f}  {passage.name}", style="bold"), _plain(f"  ({passage.source})"))
        console.print(Padding(_plain(passage.text[:SHOWN_CHARACTERS], style="dim"), (0, 0, 0, 7), expand=False))
        console.print()
    if not passages:
        console.print("Nothing was found.")


def show_effects(console: Console, effects: Sequence[Effect]) -> None:
    """What servers outside were asked to do, as a table, and what to do about what is in doubt."""
    table = _table("key", "action", "status", "first sent", "conversation")
    for effect in effects:
        style = "red" if effect.status in UNSETTLED else ""
        at = f"{effect.at:%Y-%m-%d %H:%M:%S} UTC"
        texts = (effect.key, effect.action, effect.status, at, effect.conversation)
        table.add_row(*(_plain(text, style=style) for text in texts))
    if not effects:
        console.print("Nothing was asked of a server outside.")
        return
    console.print(table)
    if any(effect.status in UNSETTLED for effect in effects):
        console.print("Look whether what is in doubt was done, then: troupe effects settle KEY --done or --not-done")


def show_topology(console: Console, plan: Plan) -> None:
    """Who consumes what from whom, as a table."""
    workflow = plan.workflow
    console.print(Text(f"{workflow.name}", style="bold"), f"(plan {plan.version})", highlight=False)
    console.print(f"{workflow.entry.__name__} in, {workflow.answer.__name__} out", style="dim")
    table = _table("agent", "consumes", "emits", "inside")
    for node in plan.nodes.values():
        consumed = " | ".join(event.__name__ for event in node.spec.consumes)
        emitted = [event.__name__ for event in node.spec.emits]
        emitted += [f"list[{event.__name__}]" for event in node.spec.fans_out]
        table.add_row(
            node.spec.name,
            Text(f"All[{consumed}]" if node.spec.joins else consumed),
            Text(" | ".join(emitted) or "-"),
            Text(", ".join(node.scopes) or "-"),
        )
    console.print(table)


def _table(*columns: str) -> Table:
    """A table that breaks long names rather than cutting them off."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def mermaid(plan: Plan) -> str:
    """The graph in Mermaid's notation: agents as nodes, events on the edges."""
    workflow = plan.workflow
    lines = ["flowchart TD", f"    entry([{workflow.entry.__name__}])", f"    answer([{workflow.answer.__name__}])"]
    lines += [f"    {name}[{name}]" for name in plan.nodes]
    lines += [f"    entry --> {route.agent}" for route in plan.routes[workflow.entry.__name__]]
    for name, node in plan.nodes.items():
        for event in (*node.spec.emits, *node.spec.fans_out):
            if event is workflow.answer:
                lines.append(f"    {name} --> answer")
            arrow = "==>" if event in node.spec.fans_out else "-->"
            lines += [
                f"    {name} {arrow}|{event.__name__}| {route.agent}" for route in plan.routes.get(event.__name__, ())
            ]
    return "\n".join(lines)


def show_explanation(console: Console, explanation: Explanation) -> None:
    """What an agent may do, with the part of its signature that says so."""
    console.print(
        Text(explanation.agent, style="bold"), f"in {explanation.workflow}, {explanation.file}", highlight=False
    )
    console.print(Text(explanation.purpose))
    table = _table("", "", "because of")
    for line in explanation.lines:
        table.add_row(line.topic, Text(line.says), Text(line.because, style="dim"))
    console.print(table)


def show_policy(console: Console, policy: "Policy") -> None:
    """What a function may do on AWS, with what asks for each statement."""
    console.print(Text(policy.function, style="bold"), f"in {policy.file}", highlight=False)
    for each in policy.allowed:
        console.print(Text(f"\n{each.sid}", style="bold"))
        lines = [("may", each.actions), ("on", each.resources), ("where", tuple(_narrowed(each.conditions)))]
        for topic, said in lines:
            for line in said:
                console.print(Text(f"  {topic:7} {line}"), soft_wrap=True)
        console.print(Text(f"  because {each.because}", style="dim"), soft_wrap=True)
        if each.wildcard:
            console.print(Text(f"  *       {each.wildcard}", style="dim"), soft_wrap=True)


def _narrowed(conditions: Mapping[str, Mapping[str, str | tuple[str, ...]]]) -> Iterator[str]:
    """What a statement's conditions demand, but for that the key is there at all."""
    for operator, demanded in conditions.items():
        for key, value in demanded.items() if operator != "Null" else ():
            values = (value,) if isinstance(value, str) else value
            yield f"{key.partition(':')[2]} is {' or '.join(values)}"


def _plain(text: str, style: str = "") -> Text:
    """Text from elsewhere, without what a terminal would obey or hide."""
    return Text(clean(text), style=style)
