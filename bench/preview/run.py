"""How long the program takes to register a stack on Pulumi's mocks, with components and without them.

    python bench/preview/run.py
    python bench/preview/run.py --agents 7 50 200 --rounds 3

A workflow of that many agents, each handing on to the next, is declared by `infra.program`. Beside it, in the same
process and in turns, runs the same program whose components register nothing: their resources have no parent, and
whoever waits for a component does not. So the same resources are registered with the same inputs in the same order, as
a plain program would; a round's ratio says what components cost. What the engine adds is the same for both.
"""

import argparse
import statistics
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pulumi

from functions.events.event import Event
from functions.runtime.agent import agent
from functions.runtime.workflow import Workflow

sys.path.insert(0, str(Path(__file__).parents[2] / "tests" / "infra"))
warnings.simplefilter("ignore", DeprecationWarning)

from recorded_stack import recorded  # noqa: E402 - it is found only now

from infra.settings import Settings, VectorSettings  # noqa: E402 - the provider warns when it is loaded

_EVENT: Any = type(Event)  # what makes a class of events


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


@contextmanager
def without_components() -> Iterator[None]:
    """Components register nothing, and nothing is below them."""
    providers: list[pulumi.ProviderResource] = []

    register = pulumi.ComponentResource.__init__

    def made(self: Any, kind: str, *given: Any, **more: Any) -> None:  # noqa: ANN401
        if not kind.startswith("troupe:"):
            register(self, kind, *given, **more)
        for each in given:
            if isinstance(each, pulumi.ResourceOptions) and isinstance(each.providers, list):
                providers.extend(each.providers)

    options, asks = pulumi.ResourceOptions.__init__, pulumi.InvokeOptions.__init__

    def plain(self: Any, parent: Any = None, depends_on: Any = None, **more: Any) -> None:  # noqa: ANN401
        if isinstance(parent, pulumi.ComponentResource):
            parent, more["provider"] = None, providers[-1]
        if isinstance(depends_on, list):
            depends_on = [each for each in depends_on if not isinstance(each, pulumi.ComponentResource)]
        options(self, parent=parent, depends_on=depends_on, **more)

    def plainly_asked(self: Any, parent: Any = None, **more: Any) -> None:  # noqa: ANN401
        if parent is not None:
            more["provider"] = providers[-1]
        asks(self, **more)

    with (
        mock.patch.object(pulumi.ComponentResource, "__init__", made),
        mock.patch.object(pulumi.ComponentResource, "register_outputs", return_value=None),
        mock.patch.object(pulumi.ResourceOptions, "__init__", plain),
        mock.patch.object(pulumi.InvokeOptions, "__init__", plainly_asked),
    ):
        yield


def timed(chain: Workflow) -> tuple[float, int]:
    """Seconds, and how many resources of AWS were registered."""
    settings = Settings(workflows=("chain",), vectors=VectorSettings(kind="url", url="https://vectors.example"))
    began = time.perf_counter()
    found = recorded(settings, workflows=[chain])
    return time.perf_counter() - began, sum(each.custom for each in found.registered)


def main() -> int:
    """Print a line for each number of agents; 1 where a ratio is above the limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--agents", type=int, nargs="+", default=[7, 50, 200])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=1.3)
    given = parser.parse_args()
    timed(workflow(1))  # loads what is loaded once
    worst = 0.0
    print("agents  resources  components  without  ratio")
    for agents in given.agents:
        chain, ours, theirs, count = workflow(agents), [], [], 0
        for _ in range(given.rounds):
            seconds, count = timed(chain)
            ours.append(seconds)
            with without_components():
                seconds, plain = timed(chain)
            theirs.append(seconds)
            if plain != count:
                raise SystemExit(f"without components {plain} resources were registered, with them {count}")
        ratio = statistics.median(one / other for one, other in zip(ours, theirs, strict=True))
        worst = max(worst, ratio)
        with_, plainly = statistics.median(ours), statistics.median(theirs)
        print(f"{agents:6}  {count:9}  {with_:8.2f} s  {plainly:5.2f} s  {ratio:5.2f}", flush=True)
    return int(worst > given.limit)


if __name__ == "__main__":
    raise SystemExit(main())
