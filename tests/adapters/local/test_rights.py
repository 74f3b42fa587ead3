"""What is held about a conversation is found, handed over and erased, and nothing that is at work brings it back."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest
from harness import Harness
from memory_collection import MemoryCollection
from sample_workflows import FANNED_WITH_SIDE, FORKED, SINGLE, Asked, ListAsked, Looked

from functions.adapters.local.blobs import BlobsOfDelivery, LocalBlobs
from functions.adapters.local.conversations import LocalAppend
from functions.adapters.local.erasing import Erasures, pending
from functions.adapters.local.growing import LocalGrowing
from functions.adapters.local.holding import Holding, LocalUpsert
from functions.adapters.local.places import OTHERS, PLACES, whose
from functions.adapters.local.rights import LocalRights
from functions.adapters.local.state import LocalState
from functions.adapters.local.store import Store
from functions.adapters.vectors.bound import TenantUpsert, Time
from functions.events.common import Passage
from functions.events.envelope import CLAIM_CHECK_BYTES
from functions.events.event import Event
from functions.ports.blobs import prefix_of
from functions.ports.rights import Holdings
from functions.runtime.arrival import claim_checked
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Budget, Workflow

Opens = Callable[..., Harness]
LARGE = "x" * (CLAIM_CHECK_BYTES + 1)


def rights_of(troupe: Harness) -> LocalRights:
    return LocalRights(troupe.store, troupe.blobs, troupe.clock)


def binding(troupe: Harness, conversation: str = "c1", request: str = "r1") -> Binding:
    return Binding(
        tenant="default",
        conversation=conversation,
        request=request,
        key="k",
        origin="k",
        agent="work",
        attempt=1,
        until=troupe.clock(),
        budget=Budget(),
    )


def upsert_of(memories: MemoryCollection, holding: Holding, bound: Binding) -> LocalUpsert:
    time = Time(bound.until, lambda: bound.until - timedelta(seconds=1))
    return LocalUpsert(holding, TenantUpsert(memories, "default", time), memories.key, bound)


def fact(text: str = "a fact", name: str = "f") -> Passage:
    return Passage(id=name, name="remembered", source="memory", text=text)


class Shelf:
    """The collections of a workspace: one, in memory."""

    def __init__(self, memories: MemoryCollection) -> None:
        self.memories = memories

    def erase(self, collection: str, ids: set[str], *, tenant: str) -> None:
        assert collection == self.memories.key
        self.memories.erase(ids, tenant=tenant)


def rows_left(troupe: Harness, conversation: str = "c1") -> dict[str, int]:
    named = whose(conversation, "default")
    counts = {
        place.table: troupe.store.read(f"SELECT count(*) FROM {place.table} WHERE {place.rows}", named)[0][0]  # noqa: S608
        for place in PLACES
    }
    return {table: count for table, count in counts.items() if count}


def everything_left(troupe: Harness) -> dict[str, int]:
    """Rows of any place, whosever they are."""
    counts = {place.table: troupe.store.read(f"SELECT count(*) FROM {place.table}")[0][0] for place in PLACES}  # noqa: S608
    return {table: count for table, count in counts.items() if count}


# ------------------------------------------------------------------------------------------------------ places


def test_every_table_of_the_store_is_a_place_or_says_why_not(process: Opens) -> None:
    tables = process(SINGLE).store.read(
        "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
    )
    listed = [place.table for place in PLACES]
    assert sorted(name for (name,) in tables) == sorted([*listed, *OTHERS])
    assert len(set(listed)) == len(listed)


def test_what_is_held_is_counted_by_place_and_found_by_name(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.run()
    LocalAppend(troupe.store, troupe.clock, binding(troupe)).append("user", "hello")
    held = rights_of(troupe).holdings("c1", tenant="default")
    assert held is not None
    assert (held.items["messages"], held.items["requests"]) == (1, 1)
    assert held.items["deliveries"] == len(troupe.requests.deliveries("r1", tenant="default"))
    assert [each.conversation for each in rights_of(troupe).conversations(tenant="default")] == ["c1"]


def test_another_tenants_conversation_of_the_same_name_is_not_there_and_stays(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="theirs"), tenant="acme")
    troupe.run()
    rights = rights_of(troupe)
    assert rights.holdings("c1", tenant="default") is None
    assert rights.export("c1", tenant="default") is None
    assert rights.erase("c1", tenant="default") is None
    assert rights.conversations(tenant="default") == []
    assert rights.holdings("c1", tenant="acme") is not None


def test_an_export_has_every_row_with_its_events_and_the_data_of_its_blobs(process: Opens) -> None:
    troupe = process(SINGLE)
    first = claim_checked(troupe.opened(Asked(text=LARGE)), troupe.blobs)
    troupe.requests.accept(first)
    troupe.script.failures[f"{LARGE}, attempt 1"] = []
    troupe.run()
    LocalAppend(troupe.store, troupe.clock, binding(troupe)).append("user", "hello")
    holding = Holding(troupe.store, troupe.clock)
    upsert_of(MemoryCollection(), holding, binding(troupe)).upsert([fact("remembered text")])
    export = rights_of(troupe).export("c1", tenant="default")
    assert export is not None
    assert [row["text"] for row in export.places["messages"]] == ["hello"]
    assert [row["passage"]["text"] for row in export.places["memories"]] == ["remembered text"]
    (request,) = export.places["requests"]
    assert request["envelope"]["dataref"] == first.dataref
    assert export.blobs[first.dataref]["text"] == LARGE
    msgspec.json.encode(export)


def test_bytes_that_are_no_json_are_exported_too(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked())
    troupe.store.write(lambda connection: connection.execute("UPDATE request SET settlement = x'ff00'").rowcount)
    export = rights_of(troupe).export("c1", tenant="default")
    assert export is not None
    assert export.places["requests"][0]["settlement"] == {"base64": "/wA="}


# -------------------------------------------------------------------------------------------------- nothing returns

WORKFLOWS = [(SINGLE, Asked(text="a")), (FANNED_WITH_SIDE, ListAsked(texts=("a", "b"))), (FORKED, Looked())]


@pytest.mark.parametrize("places", [0, 4])
@pytest.mark.parametrize(("workflow", "event"), WORKFLOWS, ids=[each.name for each, _ in WORKFLOWS])
def test_whatever_is_at_work_or_waits_brings_nothing_back(
    tmp_path: Path, workflow: Workflow, event: Event, places: int
) -> None:
    """Erased while the n-th agent is at work, for every n; then everything that anybody still has is delivered."""
    erased, number = True, 0
    while erased:
        number += 1
        troupe = Harness(tmp_path / f"{number}", workflow, places=places)
        try:
            erased = _erased_at(troupe, event, number)
            assert everything_left(troupe) == {} or not erased
        finally:
            troupe.store.close()
    assert number > 1


def _erased_at(troupe: Harness, event: Event, number: int) -> bool:
    calls: list[str] = []
    held: list[Holdings | None] = []

    def meanwhile() -> None:
        calls.append("")
        if len(calls) == number:
            held.append(rights_of(troupe).erase("c1", tenant="default"))

    troupe.script.meanwhile = meanwhile
    troupe.start(event)
    taken = []
    while (entry := troupe.bus.take_due()) is not None:
        raw = troupe.bus.envelope(entry)
        if raw is not None:
            taken.append((entry._replace(started=None), raw))
        if entry.agent == "runtime":
            continue
        troupe.deliver_again(entry, raw or entry.raw)
    for entry, raw in taken:
        if entry.agent != "runtime":
            troupe.deliver_again(entry, raw)
    return bool(held)


def test_an_event_that_a_worker_has_in_hand_is_not_begun(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    taken = [(entry, troupe.raw(entry)) for entry in (troupe.take("handle"), troupe.take("handle"))]
    rights_of(troupe).erase("c1", tenant="default")
    for entry, raw in taken:
        assert troupe.deliver_again(entry, raw).action == "acknowledge"
    assert everything_left(troupe) == {}
    assert not any("handle" in call for call in troupe.script.calls)


def test_a_part_an_unreadable_event_and_a_deadline_in_hand_leave_nothing(process: Opens) -> None:
    troupe = process(FANNED_WITH_SIDE)
    troupe.start(ListAsked(texts=("a", "b")))
    troupe.step("split")
    troupe.step("handle")
    part = troupe.take("collect")
    raw = troupe.raw(part)
    rights_of(troupe).erase("c1", tenant="default")
    troupe.deliver_again(part, raw)
    troupe.deliver_again(part, b"no envelope")
    troupe.requests.expire(raw, part.receipt)
    assert everything_left(troupe) == {}


def test_an_agent_still_at_work_says_writes_stores_and_puts_nothing(process: Opens) -> None:
    troupe = process(SINGLE)
    envelope = troupe.start(Asked())
    entry, memories, holding = troupe.take("work"), MemoryCollection(), Holding(troupe.store, troupe.clock)
    state = LocalState(troupe.bus, entry.receipt)
    rights_of(troupe).erase("c1", tenant="default")
    LocalAppend(troupe.store, troupe.clock, binding(troupe)).append("user", "late")
    growing = LocalGrowing(troupe.bus, tenant="default", request="r1", agent="work", attempt=1)
    growing.grow("late")
    upsert_of(memories, holding, binding(troupe)).upsert([fact("late")])
    blobs = BlobsOfDelivery(troupe.blobs, state.is_there)
    claim_checked(msgspec.structs.replace(envelope, data=msgspec.Raw(msgspec.json.encode(LARGE))), blobs)
    assert everything_left(troupe) == {}
    assert memories.points == {}
    assert list((troupe.folder / "blobs").iterdir()) == []


def test_the_same_conversation_may_begin_again(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked())
    rights_of(troupe).erase("c1", tenant="default")
    troupe.start(Asked(text="anew"))
    troupe.run()
    assert troupe.view().status == "settled"


def test_what_waits_in_other_conversations_goes_on(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked())
    troupe.start(Asked(text="b"), request="r2", conversation="c2")
    rights_of(troupe).erase("c1", tenant="default")
    troupe.run()
    assert troupe.requests.view("r1", tenant="default") is None
    assert troupe.view("r2").status == "settled"


# ----------------------------------------------------------------------------------------------------------- blobs


def test_the_blobs_of_a_conversation_are_found_by_their_key_also_without_a_row(process: Opens) -> None:
    troupe = process(SINGLE)
    mine = claim_checked(troupe.opened(Asked(text=LARGE)), troupe.blobs)  # a crash came before it was accepted
    other = claim_checked(troupe.opened(Asked(text=LARGE), conversation="c2"), troupe.blobs)
    assert mine.dataref.startswith(prefix_of("default", "c1"))
    (troupe.folder / "blobs" / f".{mine.dataref[:16]}half").write_bytes(b"half written")
    held = rights_of(troupe).erase("c1", tenant="default")
    assert held is not None
    assert held.items == {"blobs": 1}
    assert [path.name for path in (troupe.folder / "blobs").iterdir()] == [other.dataref]


def test_a_blob_of_an_earlier_version_is_found_by_the_event_that_refers_to_it(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.blobs.put("a" * 32, b'{"text": "old"}')
    troupe.blobs.put("b" * 32, b'{"text": "of another"}')
    troupe.requests.accept(msgspec.structs.replace(troupe.opened(Asked()), dataref="a" * 32))
    export = rights_of(troupe).export("c1", tenant="default")
    assert export is not None
    assert export.blobs == {"a" * 32: {"text": "old"}}
    rights_of(troupe).erase("c1", tenant="default")
    assert [path.name for path in (troupe.folder / "blobs").iterdir()] == ["b" * 32]


def test_what_an_event_refers_to_is_no_way_to_the_files_of_others(process: Opens) -> None:
    troupe = process(SINGLE)
    theirs = claim_checked(troupe.opened(Asked(text=LARGE), conversation="c2"), troupe.blobs)
    for number, forged in enumerate((theirs.dataref, "../troupe.sqlite", "*", "")):
        envelope = troupe.opened(Asked(), request=f"r{number}")
        troupe.requests.accept(msgspec.structs.replace(envelope, dataref=forged))
    export = rights_of(troupe).export("c1", tenant="default")
    assert export is not None
    assert export.blobs == {}
    rights_of(troupe).erase("c1", tenant="default")
    assert troupe.blobs.get(theirs.dataref)


# ---------------------------------------------------------------------------------------------------------- points


def test_a_memory_of_two_conversations_stays_until_the_last_is_erased(process: Opens) -> None:
    troupe = process(SINGLE)
    memories, holding = MemoryCollection(), Holding(troupe.store, troupe.clock)
    for name in ("c1", "c2"):
        troupe.start(Asked(), request=f"of {name}", conversation=name)
        bound = binding(troupe, name, f"of {name}")
        upsert_of(memories, holding, bound).upsert([fact(), fact(name=f"only {name}")])
    erasures = Erasures(troupe.store, troupe.blobs, holding, Shelf(memories))
    rights_of(troupe).erase("c1", tenant="default")
    assert erasures.finish()
    assert {point for _, point in memories.points} == {"f", "only c2"}
    rights_of(troupe).erase("c2", tenant="default")
    assert erasures.finish()
    assert memories.points == {}


def test_a_memory_that_is_stored_again_before_its_point_is_erased_stays(process: Opens) -> None:
    troupe = process(SINGLE)
    memories, holding = MemoryCollection(), Holding(troupe.store, troupe.clock)
    troupe.start(Asked())
    upsert_of(memories, holding, binding(troupe)).upsert([fact()])
    rights_of(troupe).erase("c1", tenant="default")
    troupe.start(Asked(), request="r2")
    upsert_of(memories, holding, binding(troupe, request="r2")).upsert([fact()])
    assert Erasures(troupe.store, troupe.blobs, holding, Shelf(memories)).finish()
    assert len(memories.points) == 1


def test_a_point_is_held_before_it_is_stored(process: Opens, monkeypatch: pytest.MonkeyPatch) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked())

    def crash(*_: object, **__: object) -> None:
        raise CrashError

    monkeypatch.setattr(MemoryCollection, "upsert", crash)
    with suppress(CrashError):
        upsert_of(MemoryCollection(), Holding(troupe.store, troupe.clock), binding(troupe)).upsert([fact()])
    assert rows_left(troupe)["held"] == 1


# ----------------------------------------------------------------------------------------------------------- crashes


class CrashError(BaseException):
    """The process ends here."""


class Crashes:
    """Ends the process at the n-th step, before it or after it."""

    def __init__(self, at: int, *, before: bool) -> None:
        self.left = at
        self.before = before

    def around(self, step: Callable[..., object]) -> Callable[..., object]:
        def stepped(*arguments: object, **named: object) -> object:
            self.left -= 1
            if self.left == 0 and self.before:
                raise CrashError
            done = step(*arguments, **named)
            if self.left == 0:
                raise CrashError
            return done

        return stepped


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Crashes], None]]:
    """Puts a crash around everything that an erasure changes."""

    def put(crashes: Crashes) -> None:
        for owner, name in (
            (Store, "write"),
            (Store, "rewrite"),
            (LocalBlobs, "remove"),
            (MemoryCollection, "erase"),
        ):
            monkeypatch.setattr(owner, name, crashes.around(getattr(owner, name)))

    return put


@pytest.mark.parametrize("before", [True, False], ids=["before", "after"])
def test_an_erasure_that_was_cut_short_anywhere_is_finished_by_the_next_one(
    tmp_path: Path, steps: Callable[[Crashes], None], monkeypatch: pytest.MonkeyPatch, *, before: bool
) -> None:
    number, crashed = 0, True
    while crashed:
        number += 1
        folder, memories = tmp_path / f"{number}", MemoryCollection()
        troupe = _filled(folder, memories)
        with monkeypatch.context():
            steps(Crashes(number, before=before))
            crashed = not _erase(troupe, memories)
            monkeypatch.undo()
        again = troupe.restarted()
        assert _erase(again, memories)
        assert (everything_left(again), memories.points, list((folder / "blobs").iterdir())) == ({}, {}, [])
        assert b"qzxmark" not in b"".join(path.read_bytes() for path in folder.iterdir() if path.is_file())
        assert not pending(again.store)
        again.store.close()
    assert number > 5


def _filled(folder: Path, memories: MemoryCollection) -> Harness:
    troupe = Harness(folder, SINGLE)
    troupe.requests.accept(claim_checked(troupe.opened(Asked(text=f"qzxmark {LARGE}")), troupe.blobs))
    LocalAppend(troupe.store, troupe.clock, binding(troupe)).append("user", "qzxmark")
    upsert_of(memories, Holding(troupe.store, troupe.clock), binding(troupe)).upsert([fact("qzxmark")])
    return troupe


def _erase(troupe: Harness, memories: MemoryCollection) -> bool:
    """Whether it came to its end."""
    with suppress(CrashError):
        rights_of(troupe).erase("c1", tenant="default")
        holding = Holding(troupe.store, troupe.clock)
        return Erasures(troupe.store, troupe.blobs, holding, Shelf(memories)).finish()
    return False


def test_a_repeat_says_that_it_was_erased_until_the_files_are_clean_and_then_that_nothing_is_held(
    process: Opens,
) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked())
    rights = rights_of(troupe)
    first, again = rights.erase("c1", tenant="default"), rights.erase("c1", tenant="default")
    assert first is not None
    assert first.items["requests"] == 1
    assert again == Holdings(conversation="c1", items={})
    assert Erasures(troupe.store, troupe.blobs, Holding(troupe.store, troupe.clock), Shelf(MemoryCollection())).finish()
    assert rights.erase("c1", tenant="default") is None


def test_a_file_that_somebody_still_reads_is_cleaned_later(process: Opens) -> None:
    troupe = process(SINGLE)
    troupe.start(Asked(text="qzxmark"))
    rights_of(troupe).erase("c1", tenant="default")
    erasures = Erasures(troupe.store, troupe.blobs, Holding(troupe.store, troupe.clock), Shelf(MemoryCollection()))
    with troupe.store.snapshot() as reader:
        reader.execute("SELECT 1 FROM request").fetchall()
        assert not erasures.finish()
        assert pending(troupe.store)
    assert erasures.finish()
    log = troupe.store.path.with_name(f"{troupe.store.path.name}-wal")
    assert b"qzxmark" not in troupe.store.path.read_bytes() + log.read_bytes()


def test_what_sqlite_moved_between_pages_is_gone_too(process: Opens) -> None:
    """Overwriting deleted rows would leave some of these behind."""
    troupe = process(SINGLE)
    rows = [
        (
            "default",
            "c1" if number % 4 else "c2",
            f"{number * 7919 % 4001:05}",
            ("qzxmark " if number % 4 else "other ") * (number % 57 + 1),
        )
        for number in range(4_000)
    ]
    for start in range(0, len(rows), 50):
        part = rows[start : start + 50]
        troupe.store.write(
            lambda connection, part=part: (
                connection.executemany(
                    "INSERT INTO message (tenant, conversation, key, role, text, at) VALUES (?, ?, ?, 'user', ?, 1)",
                    part,
                ).rowcount
            )
        )
    rights_of(troupe).erase("c1", tenant="default")
    holding = Holding(troupe.store, troupe.clock)
    assert Erasures(troupe.store, troupe.blobs, holding, Shelf(MemoryCollection())).finish()
    assert b"qzxmark" not in troupe.store.path.read_bytes()
    assert troupe.store.read("SELECT count(*) FROM message") == [(1_000,)]
