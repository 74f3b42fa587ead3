"""Documents that are sent are read one request at a time, and nobody waits for that longer than his time."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from harness import START, Clock
from memory_collection import MemoryCollection

from functions.adapters.local.store import Store
from functions.adapters.vectors.bound import OutOfTimeError, Time
from functions.events.ingest import SentDocument
from local.uploads import TenantIngest, Uploads


def test_who_waits_for_others_to_be_read_gives_up_once_his_time_is_over(open_store: Callable[[], Store]) -> None:
    uploads, documents = Uploads(open_store()), (SentDocument(name="notes", text="A note.", format="text"),)
    ingest = TenantIngest(uploads, MemoryCollection(), "default", Time(START + timedelta(milliseconds=1), Clock()))
    try:
        with uploads._reading, pytest.raises(OutOfTimeError, match="others had their documents read"):
            ingest.ingest(documents)
        (outcome,) = ingest.ingest(documents)
        assert outcome.passages == 1, "the next one is read"
    finally:
        uploads.close()
