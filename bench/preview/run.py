"""How long the program takes to register a stack, with components and without them.

    python bench/preview/run.py
    python bench/preview/run.py --agents 7,50,200 --rounds 3
    python bench/preview/run.py --engine --rounds 3

A workflow of that many agents, each handing on to the next, is declared by `infra.program`. Beside it, in the same
process and in turns, runs the same program whose components register nothing: their resources have no parent, and
whoever waits for a component does not. So the same resources are registered with the same inputs in the same order, as
a plain program would; a round's ratio says what components cost. Run it on a machine that does nothing else: a round
takes the time of one processor.

With `--engine`, and `pulumi` on PATH, the real engine previews `Pulumi.dev.yaml`: a process of the engine and one of
the program, as a user's, where a double of the provider answers in place of AWS (`tests/engine`).
"""

import argparse
import re
import statistics
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

from functions.events.event import Event
from functions.runtime.agent import agent
from functions.runtime.workflow import Workflow

TESTS = Path(__file__).parents[2] / "tests"
sys.path[:0] = [str(TESTS / "infra"), str(TESTS / "engine"), str(Path(__file__).parent)]
warnings.simplefilter("ignore", DeprecationWarning)

from engine_stack import EngineStack, missing  # noqa: E402 - found by the line above
from plainly import without_components  # noqa: E402 - found by the line above
from provider_double import serving  # noqa: E402 - found by the line above
from recorded_stack import recorded  # noqa: E402 - found by the line above

from infra.settings import Settings, VectorSettings  # noqa: E402 - the provider warns when it is loaded

_EVENT: Any = type(Event)  # what makes a class of events
#: Imported by the interpreter itself before the program.
PLAINLY = f"""
import sys

sys.path.insert(0, {str(Path(__file__).parent)!r})
import plainly

kept = plainly.without_components()  # until the process ends
kept.__enter__()
"""


def workflow(agents: int) -> Workflow:
    """One agent after the other."""
    events = [_EVENT(f"Step{number}", (Event,), {"__module__": __name__}) for number in range(agents + 1)]
    steps = [_step(number, events[number], events[number + 1]) for number in range(agents)]
    return Workflow(
        name="chain",
        agents=tuple(steps),
        entry=events[0],
        answer=events[-1],
        max_hops=agents + 1,
    )


def _step(number: int, taken: type, made: type) -> Any:  # noqa: ANN401 - an agent
    def step(event):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - see below
        return made(event)

    step.__name__ = f"step_{number}"
    step.__annotations__ = {"event": taken, "return": made}
    return agent()(step)


def timed(chain: Workflow) -> tuple[float, int]:
    """Seconds, and how many resources of AWS were registered."""
    settings = Settings(workflows=("chain",), vectors=VectorSettings(kind="url", url="https://vectors.example"))
    began = time.perf_counter()
    found = recorded(settings, workflows=[chain])
    return time.perf_counter() - began, sum(each.custom for each in found.registered)


def previewed(stack: EngineStack) -> tuple[float, int]:
    """Seconds of a preview by the engine, and how many resources it would make, components among them."""
    began = time.perf_counter()
    said = stack.must("preview", *stack.on_it)
    found = re.search(r"\+ (\d+) to create", said)
    return time.perf_counter() - began, int(found[1]) if found else 0


def on_mocks(agents: int, rounds: int) -> float:
    """Print a line; the ratio."""
    chain, seconds = workflow(agents), list[tuple[float, float]]()
    for _ in range(rounds):
        ours, count = timed(chain)
        with without_components():
            theirs, plain = timed(chain)
        if plain != count:
            raise SystemExit(f"without components {plain} resources were registered, with them {count}")
        seconds.append((ours, theirs))
    return _line(f"{agents:6}  {count:9}", seconds)


def on_the_engine(rounds: int) -> float:
    """Print a line; the ratio."""
    if said := missing():
        raise SystemExit(f"the engine of Pulumi is not here ({said})")
    with serving() as (provider, port), tempfile.TemporaryDirectory() as folder:
        provider.secrets = {"troupe/dev/api-keys"}
        (Path(folder) / "plainly").mkdir()
        (Path(folder) / "plainly" / "sitecustomize.py").write_text(PLAINLY, "utf-8")
        stack, seconds = EngineStack(Path(folder), provider, port, "dev"), list[tuple[float, float]]()
        previewed(stack)  # makes the bundles
        for _ in range(rounds):
            ours, count = previewed(stack)
            stack.environment["PYTHONPATH"] = str(Path(folder) / "plainly")
            theirs, plain = previewed(stack)
            del stack.environment["PYTHONPATH"]
            if plain >= count:
                raise SystemExit(f"without components {plain} resources would be made, with them {count}")
            seconds.append((ours, theirs))
        return _line(f"   dev  {f'{count}/{plain}':>9}", seconds)


def _line(of: str, seconds: list[tuple[float, float]]) -> float:
    ratio = statistics.median(ours / theirs for ours, theirs in seconds)
    with_, plainly = (statistics.median(each) for each in zip(*seconds, strict=True))
    print(f"{of}  {with_:8.2f} s  {plainly:5.2f} s  {ratio:5.2f}", flush=True)
    return ratio


def _numbers(text: str) -> list[int]:
    return [int(each) for each in text.split(",")]


def main() -> int:
    """Print a line for each number of agents; 1 where a ratio is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=_numbers, default=[7, 50, 200], help="how many, e.g. 7,50,200")
    parser.add_argument("--engine", action="store_true", help="preview the development stack by the real engine")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1.3)
    given = parser.parse_args()
    print("agents  resources  components  without  ratio")
    if given.engine:
        return int(on_the_engine(given.rounds) > given.limit)
    timed(workflow(1))  # loads what is loaded once
    return int(max(on_mocks(agents, given.rounds) for agents in given.agents) > given.limit)


if __name__ == "__main__":
    raise SystemExit(main())
