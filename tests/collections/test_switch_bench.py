"""The bench that switches under load ends with an error where it must."""

import importlib.util
import sys
import threading
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

RUN = Path(__file__).parents[2] / "bench" / "switch" / "run.py"


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("switch_bench", RUN)
    assert spec is not None
    assert spec.loader is not None
    loaded = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "switch_bench", loaded)
    spec.loader.exec_module(loaded)
    return loaded


@pytest.mark.parametrize(
    ("counts", "mixed", "moves"), [({"failed": 1}, 0, 9), ({"mixed": 1}, 0, 9), ({}, 1, 9), ({}, 0, 0)]
)
def test_a_failed_or_mixed_query_or_a_name_that_never_moved_is_an_error(
    bench: ModuleType, counts: dict[str, int], mixed: int, moves: int
) -> None:
    bench.check(Counter({"old": 5}), 0, 9)
    with pytest.raises(SystemExit, match="see above"):
        bench.check(Counter({"old": 5, **counts}), mixed, moves)


def test_a_name_that_stops_moving_is_an_error(bench: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    died = threading.Event()

    def dies(*_: object) -> None:
        died.set()
        raise LookupError("no such version")

    class Searchers:
        def ask(self, _queries: int) -> float:
            assert died.wait(30)
            return 1.0

    monkeypatch.setattr(bench, "switch", dies)
    with pytest.raises(LookupError, match="no such version"):
        bench.searched_while_moving(Searchers(), None, 1)
