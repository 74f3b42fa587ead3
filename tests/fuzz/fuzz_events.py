"""Bytes that look for a way through, guided by the branches of our code that they reach: `make fuzz`.

    python tests/fuzz/fuzz_events.py decode|deliver [options of libFuzzer]

`decode` reads them as an envelope. `deliver` draws from them what tests/conformance/hostile.py draws: lies between
honest deliveries on one machine. What fails is left in .fuzz and is replayed by naming that file as an option.
"""

import sys
from hashlib import shake_256
from pathlib import Path

import atheris

TESTS = Path(__file__).parents[1]
FOUND = TESTS.parent / ".fuzz"
sys.path[:0] = [str(TESTS.parent), str(TESTS), str(TESTS / "conformance")]

with atheris.instrument_imports(include=["functions"]):
    from harness import START, Harness  # noqa: F401 - loads what is instrumented
    from hypothesis import HealthCheck, given, settings
    from hypothesis import strategies as st
    from sample_workflows import Asked
    from test_hostile_events import play_out

    from functions.adapters.local.store import utc
    from functions.events.envelope import MalformedEnvelopeError, decode, encode, open_request, pack, unpack


def decoding(raw: bytes) -> None:
    """Whatever is taken is written as it was read, and every store can hold its times."""
    try:
        envelope = decode(raw)
    except MalformedEnvelopeError:
        return
    assert decode(encode(envelope)) == envelope
    assert unpack(pack(unpack(envelope.part))) == unpack(envelope.part)
    for time in (envelope.time, envelope.deadline, *(frame.deadline for frame in unpack(envelope.part))):
        utc(time.timestamp())


@settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def delivering(chosen: st.DataObject) -> None:
    """Nobody but the liar pays."""
    play_out("local", chosen)


def main() -> None:
    """Fuzz until libFuzzer is told to stop."""
    name, *options = sys.argv[1:]
    run, seeds = {"decode": (decoding, [_first()]), "deliver": (delivering.hypothesis.fuzz_one_input, _dice())}[name]
    corpus = FOUND / name
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(seeds):
        (corpus / f"seed-{number}").write_bytes(seed)
    replayed = [option for option in options if not option.startswith("-")]
    where = [] if replayed else [str(corpus)]
    fixed = [f"-artifact_prefix={FOUND}/", "-max_len=8192", "-len_control=0"]
    atheris.Setup([sys.argv[0], *fixed, *options, *where], run)
    atheris.Fuzz()


def _first() -> bytes:
    """An envelope to begin with."""
    return encode(
        open_request(
            Asked(), workflow="single", planversion="p", conversation="c", request="r", now=START, deadline=START
        )
    )


def _dice() -> list[bytes]:
    """As many bytes as some rounds of lies are drawn from."""
    return [shake_256(bytes([number])).digest(4096) for number in range(16)]


if __name__ == "__main__":
    main()
