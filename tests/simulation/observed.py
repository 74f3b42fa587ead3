"""What comes between a delivery and its ports: points where something may go wrong, and who holds which lease."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol, TypeVar

from functions.events.envelope import Envelope
from functions.ports.state import Begun, DeadLetter, Finish, Part, State, Task

Point = Callable[[str], None]
T = TypeVar("T")


class _WithPoints:
    def __init__(self, port: object, name: str, point: Point) -> None:
        self._port = port
        self._name = name
        self._point = point

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the port has
        found = getattr(self._port, name)
        if not callable(found):
            return found

        def call(*arguments: object, **named: object) -> object:
            self._point(f"before {self._name}.{name}")
            result = found(*arguments, **named)
            self._point(f"after {self._name}.{name}")
            return result

        return call


def with_points(port: T, name: str, point: Point) -> T:
    """The port, with a point before and after each of its calls."""
    return _WithPoints(port, name, point)  # type: ignore[return-value]  # it has what the port has


class Observer(Protocol):
    """Who is told what a worker does to its state."""

    def is_settled(self, envelope: Envelope) -> bool:
        """Whether the request of an envelope has ended."""

    def begins(self, key: str, attempt: int) -> None:
        """An attempt of a delivery begins."""

    def joins(self, part: Part, parts: Sequence[Envelope]) -> None:
        """A join is given its parts."""

    def gives_up(self, finish: Finish, watched: "Watched") -> Callable[[], None]:
        """A delivery is about to be given up; what is returned is called afterwards."""


class Watched:
    """A `State` that tells which delivery a worker is at, and until when it may be.

    Attributes:
        key: Of the delivery; empty until it has begun.
        attempt: The number of this one.
        until: When its lease ends.
        was_settled: Whether its request was settled when it began.
    """

    def __init__(self, state: State, observer: Observer) -> None:
        self._state = state
        self._observer = observer
        self.was_settled = False
        self.attempt = 0
        self.key = ""
        self.until: datetime | None = None

    def begun(self, key: str, begun: Begun) -> None:
        """It was begun."""
        if begun.status == "leased":
            self.key, self.attempt, self.until = key, begun.attempt, begun.until
            self._observer.begins(key, begun.attempt)

    def begin(self, task: Task) -> Begun:
        self.was_settled = self._observer.is_settled(task.envelope)
        begun = self._state.begin(task)
        self.begun(task.key, begun)
        return begun

    def gather(self, part: Part) -> Sequence[Envelope] | None:
        found = self._state.gather(part)
        if found is not None:
            self._observer.joins(part, found)
        return found

    def close(self, part: Part) -> Sequence[Envelope]:
        found = self._state.close(part)
        self._observer.joins(part, found)
        return found

    def finish(self, finish: Finish) -> None:
        look = self._observer.gives_up(finish, self) if finish.letter else None
        self._state.finish(finish)
        if look:
            look()

    def release(self, task: Task, *, error: str, due: datetime) -> None:
        self._state.release(task, error=error, due=due)

    def supersede(self, task: Task) -> None:
        self._state.supersede(task)

    def park(self, letter: DeadLetter) -> None:
        self._state.park(letter)
