"""Events that lie harm nobody but the request that they are of."""

from pathlib import Path
from tempfile import TemporaryDirectory

from guarantees import guarantee
from harness import Clock
from hostile import AGENTS, WORKFLOWS, Scene, lie
from hypothesis import given, settings
from hypothesis import strategies as st
from target import readable
from targets import deployed

HOSTILE = guarantee(
    "hostile", "Whatever an event says, it is published, parked or superseded, and other requests get their answers."
)


@HOSTILE
def test_whatever_events_say_nothing_is_lost_and_nobody_else_is_touched(target_name: str) -> None:
    @settings(max_examples=60, derandomize=True)
    @given(st.data())
    def play(chosen: st.DataObject) -> None:
        play_out(target_name, chosen)

    play()


def play_out(target_name: str, chosen: st.DataObject) -> None:
    """Lies between honest deliveries."""
    with TemporaryDirectory() as folder, deployed(target_name, Path(folder), clock := Clock(), *WORKFLOWS) as troupe:
        scene = Scene(troupe, clock)
        for act in chosen.draw(st.lists(st.sampled_from(["step", "step", "send", "publish"]), max_size=14)):
            if act == "step":
                scene.step()
                continue
            raw = lie(scene, chosen.draw)
            envelope = readable(raw)
            if act == "publish" and envelope is not None:
                scene.publish(envelope)
            else:
                scene.send(chosen.draw(st.sampled_from(AGENTS)), raw)
        scene.end()
