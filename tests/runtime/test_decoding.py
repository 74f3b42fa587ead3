"""Types that many threads decode into for the first time at once: msgspec alone would end the process."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from functions.events.decoding import decoder
from functions.events.event import AgentFailed

ROOT = Path(__file__).parents[2]
DECODE_AT_ONCE = """
import sys, threading
import msgspec
from functions.events.decoding import decoder

sys.setswitchinterval(1e-6)

def meet(number):
    inner = msgspec.defstruct(f"Inner{number}", [("a", str), ("b", tuple[int, ...], ())])
    kind = msgspec.defstruct(f"Kind{number}", [(f"field{each}", inner) for each in range(4)])
    raw = msgspec.json.encode({f"field{each}": {"a": "x", "b": [1]} for each in range(4)})
    start, found = threading.Barrier(8), []

    def work():
        start.wait()
        found.append(decoder(kind).decode(raw).field3.b)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [(1,)] * 8

for number in range(150):
    meet(number)
"""


def test_a_type_has_one_decoder() -> None:
    assert decoder(AgentFailed) is decoder(AgentFailed)
    assert decoder(AgentFailed).decode(b'{"agent": "a", "reason": "b"}') == AgentFailed(agent="a", reason="b")


def test_a_type_that_many_threads_meet_at_once_ends_no_process() -> None:
    done = subprocess.run(  # noqa: S603 - the program is above
        [sys.executable, "-c", DECODE_AT_ONCE], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_what_does_not_fit_is_said_as_msgspec_says_it() -> None:
    with pytest.raises(msgspec.ValidationError):
        decoder(AgentFailed).decode(b"[]")
