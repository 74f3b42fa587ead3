"""What somebody wrote into the queue's table by hand takes the place of no honest event."""

import time
from pathlib import Path

from local_fakes import PATIENCE_S
from local_process import running

from functions.events.answer import UserMessage
from functions.events.envelope import digest, root_group


def test_bytes_under_the_id_of_an_honest_event_do_not_keep_it_out(tmp_path: Path) -> None:
    root = root_group("default", "c1", "r1")
    delivery = digest("default", root, root, "orchestrator", 0)
    asked = digest(delivery, "orchestrator", 0)  # the id of what the first agent will emit
    with running(tmp_path / "store") as process:
        row = (asked, time.time() + PATIENCE_S * 10)
        process._store.write(
            lambda connection: connection.execute(
                "INSERT INTO queue (envelope_id, generation, agent, priority, due, envelope, planversion, holder)"
                " VALUES (?, 0, 'planner', 'normal', ?, x'00', '', 'nobody')",
                row,
            )
        )
        process.submit("answer", UserMessage(text="How do I sort a list?"), conversation="c1", request="r1")
        view = process.wait("r1", timeout_s=PATIENCE_S)
        tried = process._store.read("SELECT max(attempts) FROM delivery WHERE request = 'r1'")
    assert view is not None
    assert (view.status, tried) == ("settled", [(1,)])
    assert view.settlement is not None
    assert view.settlement.name == "ResponseReady"
