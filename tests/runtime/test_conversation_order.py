"""Messages of one conversation: one at a time and in order, whatever happens meanwhile."""

from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from harness import Harness
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_workflows import FANNED, SINGLE, Asked, ListAsked

from functions.ports.stops import conversation_scope, workflow_scope

if TYPE_CHECKING:
    from collections.abc import Callable

CONVERSATIONS = ("c1", "c2")
DEADLINE_S = 60.0
STOPPABLE = (conversation_scope("default", "c1"), workflow_scope("fanned"), "stack")


class CrashError(BaseException):
    """The process dies here: nothing catches it."""


class Conversations:
    """A process that is asked, killed, started again, stopped and made to wait, one step after the other."""

    def __init__(self, folder: Path, places: int) -> None:
        self.troupe = Harness(folder, SINGLE, FANNED, places=places)
        self._use(self.troupe)
        self.accepted: dict[str, list[str]] = {name: [] for name in CONVERSATIONS}
        self.begun: list[tuple[str, str]] = []
        self.asked = 0

    def _use(self, troupe: Harness) -> None:
        self.troupe = troupe
        troupe.store._writer.execute("PRAGMA synchronous = OFF")  # no test pulls the plug

    def ask(self, conversation: str, *, fans: bool) -> None:
        self.asked += 1
        name = f"{conversation}/{self.asked}"
        event = ListAsked(texts=(f"{name}/a", f"{name}/b")) if fans else Asked(text=name)
        self.troupe.start(event, request=name, conversation=conversation, deadline_s=DEADLINE_S)
        self.accepted[conversation].append(name)

    def step(self) -> None:
        with suppress(AssertionError):  # nothing is due
            self.troupe.step()

    def crash(self) -> None:
        def die() -> None:
            raise CrashError

        self.troupe.script.meanwhile = die
        with suppress(CrashError, AssertionError):
            self.troupe.step()
        self.restart()

    def restart(self) -> None:
        self._use(self.troupe.restarted())

    def look(self) -> None:
        """At most one request of a conversation runs: the oldest that is not settled."""
        rows = self.troupe.store.read("SELECT conversation, request, status FROM request ORDER BY sequence")
        for conversation in CONVERSATIONS:
            own = [(request, status) for name, request, status in rows if name == conversation]
            assert [request for request, _ in own] == self.accepted[conversation]
            states = [status for _, status in own]
            settled = states.count("settled")
            open_ones = ["running"] + ["waiting"] * (len(states) - settled - 1) if settled < len(states) else []
            assert states == ["settled"] * settled + open_ones

    def works_in_order(self) -> None:
        """No agent began with a request before the one before it was settled."""
        for conversation in CONVERSATIONS:
            rows = self.troupe.store.read(
                "SELECT request.sequence, request.settled, min(delivery.started) FROM request"
                " LEFT JOIN delivery ON delivery.tenant = request.tenant AND delivery.request = request.request"
                " WHERE conversation = ? GROUP BY request.sequence ORDER BY request.sequence",
                (conversation,),
            )
            before = 0.0
            for _, settled, started in rows:
                assert settled is not None, "a request was left open"
                assert started is None or started >= before
                before = settled


ASK = st.tuples(st.just("ask"), st.sampled_from(CONVERSATIONS), st.booleans())
OTHERS = st.one_of(
    st.tuples(st.just("step"), st.just(0.0)),
    st.tuples(st.just("step"), st.just(0.0)),
    st.tuples(st.just("crash"), st.just(0.0)),
    st.tuples(st.just("restart"), st.just(0.0)),
    st.tuples(st.just("wait"), st.sampled_from([1.0, 7.0, DEADLINE_S])),
    st.tuples(st.just("stop"), st.sampled_from(STOPPABLE)),
    st.tuples(st.just("resume"), st.sampled_from(STOPPABLE)),
)


def act(talk: Conversations, step: tuple[object, ...]) -> None:
    actions: dict[object, Callable[..., None]] = {
        "ask": lambda conversation, fans: talk.ask(conversation, fans=fans),
        "step": lambda _: talk.step(),
        "crash": lambda _: talk.crash(),
        "restart": lambda _: talk.restart(),
        "wait": talk.troupe.clock.advance,
        "stop": lambda scope: talk.troupe.requests.stop(scope, "a test"),
        "resume": talk.troupe.requests.resume,
    }
    actions[step[0]](*step[1:])


@settings(max_examples=60)
@given(steps=st.lists(st.one_of(ASK, OTHERS), max_size=30), places=st.sampled_from([0, 1, 4]))
def test_messages_of_a_conversation_are_worked_on_one_at_a_time_and_in_order_under_faults(
    steps: list[tuple[object, ...]], places: int
) -> None:
    with TemporaryDirectory() as folder:
        talk = Conversations(Path(folder), places)
        try:
            for step in steps:
                act(talk, step)
                talk.look()
            talk.troupe.run()
            talk.look()
            talk.works_in_order()
            assert talk.troupe.leases() == []
        finally:
            talk.troupe.store.close()
