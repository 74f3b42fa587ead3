"""What an effect counts once by: the same in every generation of a request, and another for every delivery."""

from pathlib import Path

import msgspec
import pytest
from harness import Harness
from sample_workflows import BOOK, FANNED, BookAsked, ListAsked

from functions.errors import PermanentError
from functions.events.envelope import decode
from functions.runtime.agent import Grant
from functions.runtime.delivery import Binding


class Watching(Harness):
    """Keeps what capabilities were bound to."""

    def bind(self, grant: Grant, binding: Binding) -> object:
        self.bound = [*getattr(self, "bound", []), binding]
        return super().bind(grant, binding)


@pytest.mark.parametrize("generations", [(1,), (1, 2)])
def test_a_redrive_of_a_whole_request_works_under_the_origins_of_the_first_run(
    tmp_path: Path, generations: tuple[int, ...]
) -> None:
    troupe = Watching(tmp_path, BOOK)
    first = troupe.start(BookAsked())
    troupe.run()
    origins, keys = {each.origin for each in troupe.bound}, {each.key for each in troupe.bound}
    assert origins == keys, "the first run is its own origin"
    assert len(origins) == len(troupe.bound), "each delivery has its own"
    for generation in generations:
        troupe.bound.clear()
        troupe.publish(
            msgspec.structs.replace(first, generation=generation, request=f"again-{generation}", origin="r1")
        )
        troupe.run()
        assert {each.origin for each in troupe.bound} == origins
        assert not {each.key for each in troupe.bound} & keys
        keys |= {each.key for each in troupe.bound}
    troupe.store.close()


def test_a_redrive_of_one_part_works_under_the_origins_that_it_had(tmp_path: Path) -> None:
    troupe = Watching(tmp_path, FANNED)
    troupe.script.failures["handle b"] = [PermanentError("b is locked")]
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    origins = {each.agent: each.origin for each in troupe.bound}
    failed = decode(troupe.store.read("SELECT event FROM dead_letter")[0][0])
    troupe.bound.clear()
    troupe.publish(msgspec.structs.replace(failed, generation=1, request="again", origin="r1"))
    troupe.run()
    assert [(each.agent, each.origin) for each in troupe.bound] == [
        ("handle", origins["handle"]),
        ("collect", origins["collect"]),
    ]
    troupe.store.close()
