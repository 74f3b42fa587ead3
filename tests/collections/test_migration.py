"""What a version holds once it is filled, whoever wrote, died or was killed meanwhile."""

import random
from collections.abc import Callable, Iterable, Sequence

import msgspec
import pytest
from dual_writing import FIRST, NEW, OLD, SECOND, START, Killed, World, Writer, id_of, point, recoded

from functions.collections import lifecycle, migration
from functions.collections.entries import changed, without_version
from functions.errors import TroupeError
from functions.ports.catalog import Progress
from functions.ports.vector_stores import Layout, Point, UnavailableError

POINTS = 10


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migration, "BATCH", 4)
    monkeypatch.setattr(migration, "PAGE", 4)


def killed_at(step: int) -> Callable[[str], None]:
    left = step

    def check(_call: str) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Killed

    return check


def test_a_filled_version_equals_a_fresh_build() -> None:
    world = World(POINTS)
    assert world.fill() == "whole"
    world.assert_equals_a_fresh_build()
    progress = world.catalog.progress("documents", 2)
    assert progress is not None
    assert (progress.done, progress.total, progress.problem) == (POINTS, POINTS, "")
    assert world.phase() == "whole"


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_any_step_and_run_again_it_equals_a_fresh_build(when: str) -> None:
    """Also where somebody wrote what the killed copy held in its hands."""
    step = 0
    while True:
        step += 1
        world = World(POINTS)
        try:
            world.fill(**{when: killed_at(step)})
        except Killed:
            assert world.phase() == "filling" or (when == "after" and world.living(SECOND))
            world.store.upsert(FIRST, [point(3, "newer", OLD, written=1.0)])
            world.store.upsert(SECOND, [point(3, "newer", NEW, written=1.0)])
            for version in (FIRST, SECOND):
                world.store.delete(version, [id_of(5), id_of(8)])
            assert world.fill() == "whole"
            world.assert_equals_a_fresh_build()
        else:
            break
    assert step > 20


def test_a_kill_costs_one_batch_at_most() -> None:
    world, encoded, kills = World(POINTS), list[str](), 0

    def counted(layout: Layout, points: Sequence[Point]) -> Sequence[Point]:
        encoded.extend(each.id for each in points)
        return recoded(layout, points)

    def second_upsert() -> Callable[[str], None]:
        calls = iter(("goes through", "is killed"))

        def check(call: str) -> None:
            if call == "upsert" and next(calls, "goes through") == "is killed":
                raise Killed

        return check

    while world.phase() == "filling":
        try:
            world.fill(after=second_upsert(), recode=counted)
        except Killed:
            kills += 1
    assert kills == 2
    assert len(encoded) == POINTS + 4 + 2  # the second batch and the third one twice


@pytest.mark.parametrize("first_seed", range(0, 120, 20))
@pytest.mark.parametrize("passes", [1, migration.PASSES])
def test_writes_between_any_two_steps_and_ten_kills_lose_nothing_and_bring_nothing_back(
    first_seed: int, passes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One pass is enough, since each write that the copy makes is looked at again."""
    monkeypatch.setattr(migration, "PASSES", passes)
    for seed in range(first_seed, first_seed + 20):
        chosen = random.Random(seed)  # noqa: S311 - no secret
        world = World(POINTS)
        writer = Writer(world, chosen, POINTS)
        kills = 0

        def between(_call: str, chosen: random.Random = chosen, writer: Writer = writer) -> None:
            nonlocal kills
            for _ in range(chosen.choice((0, 0, 1, 2))):
                writer.half()
            if kills < 10 and chosen.random() < 0.2:
                kills += 1
                raise Killed

        while True:
            try:
                ended = world.fill(before=between)
                break
            except Killed:
                for _ in range(chosen.randrange(4)):
                    writer.half()
        assert ended == "whole"
        writer.finish()
        world.assert_equals_a_fresh_build()


def test_one_who_dies_between_the_two_halves_of_a_write_leaves_no_difference() -> None:
    """What it wrote to the current version counts."""
    world = World(POINTS)
    world.store.upsert(SECOND, [point(2, "old", NEW), point(99, "deleted from the first", NEW)])
    world.store.upsert(FIRST, [point(4, "half written", OLD)])

    def dies(call: str) -> None:
        if call == "optimize":  # everything is copied
            world.store.upsert(FIRST, [point(1, "half written", OLD)])
            world.store.delete(FIRST, [id_of(0)])

    assert world.fill(before=dies) == "whole"
    world.assert_equals_a_fresh_build()
    assert world.living(SECOND)[id_of(1)].fields["text"] == "half written"


def replaced(point: Point, **fields: float) -> Point:
    return msgspec.structs.replace(point, fields={**point.fields, **fields})


def test_two_fillings_at_once_share_one_version() -> None:
    world = World(POINTS)
    other = iter(range(1))

    def meanwhile(call: str) -> None:
        if call == "upsert" and next(other, None) is not None:
            assert world.fill() == "whole"

    assert world.fill(before=meanwhile) == "whole"
    world.assert_equals_a_fresh_build()


def test_what_was_erased_while_it_was_copied_is_erased_again_and_not_only_deleted() -> None:
    world = World(POINTS)
    first = min(world.living(FIRST))
    erased: list[str] = []
    erase = world.store.erase

    def erased_meanwhile(call: str) -> None:
        if call == "recode" and first in world.living(FIRST):
            for version in (FIRST, SECOND):
                erase(version, [first])

    def told(layout: Layout, ids: Iterable[str]) -> None:
        erased.extend(f"{layout.name} {id_}" for id_ in ids)
        erase(layout, ids)

    world.store.erase = told  # type: ignore[method-assign]
    assert world.fill(after=erased_meanwhile) == "whole"
    assert erased == [f"{SECOND.name} {first}"]
    world.assert_equals_a_fresh_build()


def test_nothing_is_erased_that_expired_or_was_just_being_deleted() -> None:
    """An erasure writes all files of a version anew."""
    world = World(POINTS)
    first, second = sorted(world.living(FIRST))[:2]
    world.store.upsert(FIRST, [replaced(world.living(FIRST)[first], expires_at=START.timestamp() + 1)])
    erased: list[str] = []
    scrolls = 0

    def meanwhile(call: str) -> None:
        nonlocal scrolls
        if call == "recode":  # after it was read, before it is looked at again
            world.seconds = 2.0
            world.store.delete(FIRST, [first])
        scrolls += call == "scroll"
        if call == "optimize":
            scrolls = 0
            world.store.delete(FIRST, [second])
        if scrolls == 3:  # the comparison has seen it in the new version only
            world.store.delete(SECOND, [second])

    def told(layout: Layout, ids: Iterable[str]) -> None:
        erased.extend(f"{layout.name} {id_}" for id_ in ids)

    world.store.erase = told  # type: ignore[method-assign]
    assert world.fill(after=meanwhile) == "whole"
    assert erased == []
    world.assert_equals_a_fresh_build()


@pytest.mark.parametrize(
    "failure", [UnavailableError("the store does not answer"), OSError(28, "No space left on device")]
)
def test_where_a_store_fails_the_progress_says_why_and_it_goes_on_once_it_is_back(failure: Exception) -> None:
    world = World(POINTS)
    broken, told, pauses = True, list[str](), list[float]()

    def fails(call: str) -> None:
        progress = world.catalog.progress("documents", 2)
        if broken and call == "upsert" and progress and progress.after:
            raise failure

    def wait(pause_s: float) -> bool:
        nonlocal broken
        pauses.append(pause_s)
        progress = world.catalog.progress("documents", 2)
        told.append(progress.problem if progress else "")
        broken = len([each for each in told if each]) < 3
        return False

    assert world.fill(before=fails, wait=wait) == "whole"
    world.assert_equals_a_fresh_build()
    assert [each for each in told if each] == [str(failure)] * 3
    failed = [pause for pause, problem in zip(pauses, told, strict=True) if problem]
    assert failed == sorted(failed)
    progress = world.catalog.progress("documents", 2)
    assert progress is not None
    assert progress.problem == ""


def test_a_version_that_is_dropped_meanwhile_is_left_and_not_made_again() -> None:
    world = World(POINTS)

    def dropped(call: str) -> None:
        if call == "create":
            changed(world.catalog, "documents", lambda entry: without_version(entry, 2))
            world.store.drop(SECOND.name)

    assert world.fill(before=dropped) == "dropped"
    assert [each.name for each in world.store.layouts()] == [FIRST.name]


def test_stopped_it_says_so_and_goes_on_from_its_checkpoint() -> None:
    world, waits = World(POINTS), iter([False, False, True])
    assert world.fill(wait=lambda _: next(waits)) == "stopped"
    progress = world.catalog.progress("documents", 2)
    assert progress is not None
    assert 0 < progress.done < POINTS
    assert world.fill() == "whole"
    world.assert_equals_a_fresh_build()


def test_a_rate_is_kept_and_may_be_changed_between_two_batches() -> None:
    world, waited = World(POINTS), list[float]()

    def wait(pause_s: float) -> bool:
        waited.append(pause_s)
        world.seconds += pause_s
        if pause_s:
            lifecycle.set_rate(world.catalog, "documents", 2, 2.0)
        return False

    world.catalog.put_progress(Progress(collection="documents", number=2, started=START, at=START, rate=4.0))
    assert world.fill(wait=wait) == "whole"
    assert [each for each in waited if each] == [1.0, 2.0, 1.0]  # 4 points at 4/s, then 4 and 2 at 2/s


def test_no_more_is_copied_at_a_time_than_a_second_allows_and_nobody_waits_at_the_end() -> None:
    world, batches, waited = World(POINTS), list[int](), list[float]()

    def recode(layout: Layout, points: Sequence[Point]) -> Sequence[Point]:
        batches.append(len(points))
        return recoded(layout, points)

    def wait(pause_s: float) -> bool:
        waited.append(pause_s)
        world.seconds += pause_s
        return False

    world.catalog.put_progress(Progress(collection="documents", number=2, started=START, at=START, rate=3.0))
    assert world.fill(recode=recode, wait=wait) == "whole"
    assert batches == [3, 3, 3, 1]
    assert [each for each in waited if each] == [1.0] * 3


def test_a_point_that_cannot_be_encoded_leaves_no_gap() -> None:
    world, waits = World(POINTS), iter([False, True])

    def refuses(_: Layout, points: Sequence[Point]) -> Sequence[Point]:
        raise TroupeError(f"the text of {points[0].id} cannot be had")

    assert world.fill(recode=refuses, wait=lambda _: next(waits)) == "stopped"
    progress = world.catalog.progress("documents", 2)
    assert progress is not None
    assert "cannot be had" in progress.problem
    assert world.phase() == "filling"
