"""The `troupe` command.

Exit codes: 0 done; 1 something is to be mended, as the message says; 2 wrong usage; 3 the request ended in an
error instead of an answer; 130 interrupted.
"""

import io
import logging
import os
import sys
import uuid
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from functions.api.callers import DEFAULT_TENANT
from functions.api.target import takes_messages
from functions.api.views import Request, shown
from functions.api.workflows import as_graph
from functions.documents.chunks import clean
from functions.errors import TroupeError
from functions.events.answer import MAX_MESSAGE_CHARACTERS, ResponseReady
from functions.events.envelope import MAX_NAME
from functions.events.event import AgentFailed
from functions.ports.requests import Limits
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan
from functions.workflows.catalog import WORKFLOWS
from ops import collections, conversations, dead_letters, effects, stopping
from ops.beside import home_with_store
from ops.printing import print_json
from ops.usage import Json, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from socket import socket

    from functions.api.callers import Keys
    from local.process import LocalProcess
    from local.workspace import Workspace

EXIT_TO_MEND, EXIT_USAGE, EXIT_NO_ANSWER, EXIT_INTERRUPTED = 1, 2, 3, 130
DEFAULT_QUESTION = "How do I get the n largest elements of a list?"
DEFAULT_CONVERSATION = "cli"
SKIPPED_SHOWN = 10  # files that could not be read, before an answer
HOST, PORT = "127.0.0.1", 8080
ANSWER_MARGIN_S = 5.0  # past the deadline, for the error that the deadline brings

app = typer.Typer(
    help="Multi-agent workflows on events, serverless functions and vectors.",
    epilog=(__doc__ or "").partition("\n\n")[2],
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Docs = Annotated[
    str | None,
    typer.Option(
        "--docs",
        envvar="DOCS",
        help="A folder of Markdown, text, HTML and PDF; without it, Python's own documentation.",
    ),
]
WorkflowName = Annotated[str, typer.Option("--workflow", help="Which workflow.")]


def main() -> None:
    """Run the command; a mendable error is one line, never a traceback."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # a terminal that knows no "█" shows something else
    try:
        app()
    except TroupeError as error:
        _print_error(str(error))
        sys.exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_TO_MEND)
    except OSError as error:  # of the output, e.g. since the disk is full, or of a folder that is a file
        _print_error(f"{error}: see that it can be read and written")
        sys.exit(EXIT_TO_MEND)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)


def _print_error(text: str) -> None:
    message = clean(text)  # an argument that is no Unicode may be in it, or what a server said
    as_json = "--json" in sys.argv
    typer.echo(msgspec.json.encode({"error": message}).decode() if as_json else f"error: {message}", err=True)


@app.command()
def ask(  # noqa: PLR0913, PLR0917 - each is an option of the command
    question: Annotated[str, typer.Argument(envvar="Q", help="What to ask, or `Remember that …`.")] = DEFAULT_QUESTION,
    docs: Docs = None,
    conversation: Annotated[str, typer.Option(help="Follow-ups refer to what was said in it.")] = DEFAULT_CONVERSATION,
    workflow: WorkflowName = "answer",
    url: Annotated[
        str | None, typer.Option("--url", envvar="TROUPE_URL", help="Ask the server there (see `troupe run`).")
    ] = None,
    as_json: Json = False,
) -> None:
    """Ask a question, or have something remembered, through all the agents."""
    text = _checked_text(question)
    conversation = _checked_text(conversation, of="the conversation's name", most=MAX_NAME)
    if url:
        asked = _ask_server(url, text, conversation, workflow)
    else:
        asked = _ask_here(text, conversation, workflow, docs, quiet=as_json)
    if asked.error is not None:
        _print_failed(asked.error, as_json=as_json)
        raise typer.Exit(EXIT_NO_ANSWER)
    response = _answer(asked)
    if as_json:
        print_json({"request": asked.request, "conversation": conversation, **_answer_data(asked, response)})
        return
    from ops import show

    console = show.console()
    show.show_answer(console, question, response)
    show.show_waterfall(console, asked)
    show.show_making(console, asked, response)


def _answer(asked: Request) -> ResponseReady:
    try:
        return msgspec.json.decode(asked.answer, type=ResponseReady)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise TroupeError(
            f"the answer to the request {asked.request} is none that this version knows ({error}): "
            "update the command or the server"
        ) from error


def _ask_server(url: str, text: str, conversation: str, workflow: str) -> Request:
    from ops.client import Client

    with Client(url, os.environ.get("TROUPE_API_KEY", "").strip()) as client:
        return client.ask(text, conversation=conversation, workflow=workflow)


def _ask_here(text: str, conversation: str, workflow: str, docs: str | None, *, quiet: bool) -> Request:
    plan = _plan(workflow)
    if not takes_messages(plan):
        raise UsageError(f"{workflow} takes no questions: use one of {', '.join(_asked())}")
    message = msgspec.convert({"text": text}, plan.workflow.entry)
    request = f"cli-{uuid.uuid4().hex[:16]}"
    with _opened(docs, quiet=quiet) as opened, opened.process() as process:
        process.submit(workflow, message, conversation=conversation, request=request)
        view = process.wait(request, timeout_s=plan.workflow.deadline_s + ANSWER_MARGIN_S)
        if view is None or view.settlement is None:
            raise TroupeError(f"the request {request} was not settled: run `troupe ask` again")
        return shown(process.target(limits=Limits(), secured=False), view, DEFAULT_TENANT)


def _asked() -> list[str]:
    return [name for name, plan in sorted(topology(*WORKFLOWS.values()).items()) if takes_messages(plan)]


@app.command()
def run(
    docs: Docs = None,
    host: Annotated[str, typer.Option(help="The address to serve on; others than 127.0.0.1 need an API key.")] = HOST,
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port to serve on; 0 for any.")] = PORT,
) -> None:
    """Serve the HTTP API and the page, until Ctrl-C."""
    from functions.api.callers import read_keys
    from local.server.serving import bound
    from local.server.settings import read_limits

    keys = read_keys(os.environ)
    limits = read_limits(os.environ, tenants=len(keys))
    with (
        closing(bound(host, port, keys)) as listening,
        _opened(docs, quiet=False) as opened,
        opened.process() as process,
    ):
        _serve(process, listening, keys, limits)


def _serve(process: "LocalProcess", listening: "socket", keys: "Keys", limits: "Limits") -> None:
    from functions.api.api import Api
    from local.server.app import App, Settings
    from local.server.serving import serve

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    api = Api(process.target(limits=limits, secured=bool(keys)))
    serve_app = App(api, process.watchers, Settings(keys=keys))
    serve(serve_app, listening, started=lambda address: typer.echo(f"Serving on {address}"))


@app.command()
def ingest(docs: Docs = None, as_json: Json = False) -> None:
    """Read the documents: what is new or changed, and nothing twice."""
    with _workspace(docs) as opened, _progress(quiet=as_json) as progress:
        report = opened.read_documents(progress)
    if as_json:
        print_json({"corpus": opened.corpus.title, "ignored": opened.corpus.ignored, **vars(report)})
        return
    from ops import show

    console = show.console()
    if not (report.added or report.changed or report.removed):
        show.show_unchanged(console, opened.corpus.title, report)
    show.show_report(console, opened.corpus.title, report, opened.corpus.ignored, skipped_shown=len(report.skipped))


@app.command()
def search(
    text: Annotated[str, typer.Argument(help="What to look for.")],
    limit: Annotated[int, typer.Option(min=1, max=100, help="How many passages.")] = 5,
    docs: Docs = None,
    as_json: Json = False,
) -> None:
    """Find the passages nearest to a text. JSON: a list of name, score, source and text."""
    checked = _checked_text(text)
    with _opened(docs, quiet=as_json) as opened:
        found = opened.search(checked, limit=limit)
    if as_json:
        print_json([{"name": p.name, "score": round(p.score, 4), "source": p.source, "text": p.text} for p in found])
    else:
        from ops import show

        show.show_passages(show.console(), found)


@app.command()
def doctor(
    as_json: Json = False,
    repair: Annotated[bool, typer.Option("--repair", help="Mend what can be mended without a loss.")] = False,
) -> None:
    """Check the store and everything beside it, and say what to do; exit code 1 where something is to be mended."""
    from ops.doctor import examined, repaired, report

    home = home_with_store()
    mended = repaired(home) if repair else 0
    found = msgspec.structs.replace(examined(home), repaired=mended)
    if as_json:
        print_json(found)
    else:
        typer.echo(clean(report(found)))
    if found.findings:
        raise typer.Exit(EXIT_TO_MEND)


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="Where to; it may not be there yet.")], as_json: Json = False
) -> None:
    """Copy the store and what is beside it, also while it is in use."""
    from ops.doctor import backup as copy

    left = copy(home_with_store(), folder)
    if as_json:
        print_json({"folder": clean(str(folder)), "left": left})
    else:
        typer.echo("\n".join([f"copied to {clean(str(folder))}", *(f"not copied: {each}" for each in left)]))


@app.command("topology")
def show_topology(
    workflow: WorkflowName = "answer",
    as_mermaid: Annotated[bool, typer.Option("--mermaid", help="Print Mermaid's notation.")] = False,
    as_json: Json = False,
) -> None:
    """Show who consumes what from whom."""
    from ops import show

    plan = _plan(workflow)
    if as_json:
        print_json(as_graph(plan))
    elif as_mermaid:
        typer.echo(show.mermaid(plan))
    else:
        show.show_topology(show.console(), plan)


@app.command()
def explain(
    agent: Annotated[str, typer.Argument(help="An agent's name; with --aws, also a service's, or operator.")],
    workflow: WorkflowName = "answer",
    on_aws: Annotated[bool, typer.Option("--aws", help="Its policy on AWS, under example names.")] = False,
    as_json: Json = False,
) -> None:
    """Show what an agent consumes, emits and may do, and which part of its signature says so."""
    if on_aws:
        _explain_on_aws(agent, as_json=as_json)
        return
    plan = _plan(workflow)
    if agent not in plan.nodes:
        raise UsageError(f"{workflow} has no agent {agent!r}: use one of {', '.join(sorted(plan.nodes))}")
    from ops import show
    from ops.explain import explain as explain_agent

    explanation = explain_agent(plan, agent)
    if as_json:
        print_json(explanation)
    else:
        show.show_explanation(show.console(), explanation)


def _explain_on_aws(function: str, *, as_json: bool) -> None:
    from infra.aws.grants import policy
    from ops import aws_policy, show

    known = aws_policy.names()
    if function not in known:
        raise UsageError(f"no agent, no service and no person is called {function!r}: use one of {', '.join(known)}")
    found = aws_policy.policy_of(function)
    if as_json:
        print_json(policy(found.allowed))
    else:
        show.show_policy(show.console(), found)


app.add_typer(stopping.app)
app.add_typer(dead_letters.app, name="dead-letters")
app.add_typer(effects.app, name="effects")
app.add_typer(conversations.app, name="conversations")
app.add_typer(collections.app, name="collections")


def _plan(workflow: str) -> Plan:
    if workflow not in WORKFLOWS:
        raise UsageError(f"there is no workflow {workflow!r}: use one of {', '.join(sorted(WORKFLOWS))}")
    return topology(*WORKFLOWS.values())[workflow]


def _checked_text(text: str, of: str = "the text", most: int = MAX_MESSAGE_CHARACTERS) -> str:
    """Text that can be asked: some, not too much, and Unicode."""
    shown = text.strip()
    if len(shown) > most:
        raise UsageError(f"{of} has {len(shown):,} characters, and {most:,} are read: shorten it")
    try:
        shown.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"{of} is not valid UTF-8: check the encoding of the terminal or the script") from error
    visible = clean(shown).strip()
    if not visible:
        raise UsageError(f"{of} is empty: write what you mean")
    return visible


@contextmanager
def _workspace(docs: str | None) -> "Iterator[Workspace]":
    from local.workspace import home_folder, workspace

    with workspace(home_folder(), docs or None) as opened:
        yield opened


@contextmanager
def _opened(docs: str | None, *, quiet: bool) -> "Iterator[Workspace]":
    """The workspace with its documents read."""
    with _workspace(docs) as opened:
        with _progress(quiet=quiet) as progress:
            report = opened.read_documents(progress)
        if not quiet and (report.has_news or opened.corpus.ignored):
            from ops import show

            show.show_report(
                show.console(), opened.corpus.title, report, opened.corpus.ignored, skipped_shown=SKIPPED_SHOWN
            )
        yield opened


@contextmanager
def _progress(*, quiet: bool) -> "Iterator[Callable[[int, int], None]]":
    """A bar on standard error while documents are read; none where nothing is to be read."""
    if quiet:
        yield lambda _done, _total: None
        return
    with ExitStack() as stack:
        bars: list[Callable[[int, int], None]] = []

        def progress(done: int, total: int) -> None:
            if not bars:
                from ops.show import reading_bar

                bars.append(stack.enter_context(reading_bar(total)))
            bars[0](done, total)

        yield progress


def _print_failed(failed: AgentFailed, *, as_json: bool) -> None:
    if as_json:
        print_json({"error": failed.reason, "agent": failed.agent})
    else:
        typer.echo(clean(f"No answer: {failed.agent} gave up: {failed.reason}"), err=True)  # a model may have said it


def _answer_data(asked: Request, response: ResponseReady) -> dict[str, object]:
    return {
        **msgspec.structs.asdict(response),
        "accepted": asked.accepted,
        "settled": asked.settled,
        "deliveries": asked.deliveries,
    }
