"""What a join costs: each part is read once, however many there are."""

from collections.abc import Callable

import pytest
from harness import Harness
from sample_workflows import FANNED, Answered, ListAsked

from functions.adapters.local import joins
from functions.events.envelope import Envelope, decode


def test_a_join_reads_its_parts_once(process: Callable[..., Harness], monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def counted(raw: bytes) -> Envelope:
        read.append(raw)
        return decode(raw)

    monkeypatch.setattr(joins, "decode", counted)
    troupe = process(FANNED)
    troupe.start(ListAsked(texts=tuple(f"t{n}" for n in range(60))))
    troupe.run()
    settlement = troupe.settlement()
    assert isinstance(settlement, Answered)
    assert len(settlement.texts) == 60
    assert len(read) < 2 * 60
