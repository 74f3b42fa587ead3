"""Services that share the points: which of them a store opens over, and how the points come to others."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pytest
from memory_store import MemoryStore
from qdrant_server import qdrant_server
from rest_server import Server
from shelves import carried
from small_encoder import SmallEncoder
from stored import LAYOUT, id_of

from functions.adapters.local.members import locked
from functions.adapters.local.store import Store
from functions.adapters.vectors.placement import Checkpoint, PlacementError, evenly
from functions.adapters.vectors.qdrant import QdrantStore
from functions.adapters.vectors.qdrant_edge import EdgeStore
from functions.adapters.vectors.settings import VectorSettings, VectorSettingsError, moved, opened, vector_settings
from functions.adapters.vectors.sharded import ShardedStore
from functions.adapters.vectors.spread import NotSpreadError, moved_to, opened_over
from functions.events.common import Passage
from functions.ports.vector_stores import Point, UnavailableError, VectorStore
from local.shelf import Shelf
from ops import cli

A, B, C = "http://a", "http://b", "http://c"
COUNT = 90
PASSAGES = [Passage(id=f"p{each}", name="", source="s", text=f"word{each} more") for each in range(60)]


@pytest.fixture
def at(tmp_path: Path) -> Callable[[str], VectorStore]:
    """Opens what is at a URL: Qdrant's engine over a folder of that name."""
    return lambda url: EdgeStore(tmp_path / url.removeprefix("http://"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "shards.json"


def no_word(_: Checkpoint) -> None:
    """Nobody listens."""


def filled(file: Path, urls: Sequence[str], at: Callable[[str], VectorStore]) -> None:
    points = [Point(id=id_of(each), vector=np.array([1, each, 0, 0], np.float32)) for each in range(1, COUNT)]
    with closing(opened_over(file, urls, at)) as store:
        store.create(LAYOUT)
        store.upsert(LAYOUT, points)


def held(url: str, at: Callable[[str], VectorStore]) -> set[str]:
    with closing(at(url)) as store:
        return {point.id for point in store.scroll(LAYOUT)} if store.layouts() else set()


def everything() -> set[str]:
    return {id_of(each) for each in range(1, COUNT)}


def lives(url: str, urls: Sequence[str]) -> set[str]:
    return {each for each in everything() if evenly(urls).home(each) == url}


@pytest.mark.parametrize(
    ("before", "after"), [([A], [A, B]), ([A, B], [A, B, C]), ([A, B, C], [B]), ([A], [B]), ([A, B], [B, A])]
)
def test_another_list_is_refused_until_the_points_are_where_it_says(
    file: Path, at: Callable[[str], VectorStore], before: Sequence[str], after: Sequence[str]
) -> None:
    filled(file, before, at)
    if set(before) != set(after):
        with pytest.raises(NotSpreadError, match=f"the points are at {before[0]}.*`troupe collections rebalance`"):
            opened_over(file, after, at)
    moving = sum(evenly(before).home(each) != evenly(after).home(each) for each in everything())
    assert moved_to(file, after, at, no_word) == moving
    assert {url: held(url, at) for url in (A, B, C)} == {
        url: lives(url, after) if url in after else set() for url in (A, B, C)
    }
    with closing(opened_over(file, after, at)) as store:
        assert {point.id for point in store.scroll(LAYOUT)} == everything()


def test_a_move_that_is_cut_off_at_any_step_goes_on_and_no_start_comes_between(
    file: Path, at: Callable[[str], VectorStore]
) -> None:
    filled(file, [A, B], at)
    steps = iter(range(100))
    heard: list[Checkpoint] = []

    def die(checkpoint: Checkpoint) -> None:
        heard.append(checkpoint)
        if next(steps) % 2:
            raise KeyboardInterrupt

    deaths = 0
    while True:
        try:
            moved_to(file, [A, B, C], at, die)
            break
        except KeyboardInterrupt:
            deaths += 1
            for urls in ([A, B], [A, B, C]):
                with pytest.raises(NotSpreadError, match="on their way from http://a, http://b to"):
                    opened_over(file, urls, at)
    assert deaths >= 2
    assert {each.shard for each in heard} >= {A, B}
    assert {url: held(url, at) for url in (A, B, C)} == {url: lives(url, [A, B, C]) for url in (A, B, C)}


def test_a_move_can_be_given_up_with_the_list_before(file: Path, at: Callable[[str], VectorStore]) -> None:
    filled(file, [A, B], at)

    def die(checkpoint: Checkpoint) -> None:
        if checkpoint.shard == B:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        moved_to(file, [A, B, C], at, die)
    assert held(C, at)
    assert moved_to(file, [A, B], at, no_word) == 0
    assert {url: held(url, at) for url in (A, B, C)} == {A: lives(A, [A, B]), B: lives(B, [A, B]), C: set()}
    opened_over(file, [A, B], at).close()


class Service(MemoryStore):
    """One that stays when a connection to it is closed."""

    def close(self) -> None:
        pass


def test_two_addresses_of_one_service_are_refused_before_anything_moves(file: Path) -> None:
    one = Service()
    with pytest.raises(PlacementError, match="http://b is one service with http://a: list it once"):
        opened_over(file, [A, B], lambda _: one)
    filled(file, [A], lambda _: one)
    with pytest.raises(PlacementError, match="http://b is one service with http://a: list it once"):
        moved_to(file, [A, B], lambda _: one, no_word)
    assert [layout.name for layout in one.layouts()] == [LAYOUT.name]
    assert one.count(LAYOUT) == COUNT - 1


def test_services_in_use_of_which_nothing_says_how_they_share_are_refused(file: Path) -> None:
    services = {A: Service(), B: Service()}
    filled(file, [A], services.__getitem__)
    file.unlink()
    for begin in (opened_over, lambda *given: moved_to(*given, no_word)):
        with pytest.raises(PlacementError, match=r"collections at http://a already.*list it alone"):
            begin(file, [A, B], services.__getitem__)
        assert not file.exists()
    moved_to(file, [A], services.__getitem__, no_word)
    assert moved_to(file, [A, B], services.__getitem__, no_word) == len(lives(B, [A, B]))


def test_a_service_that_is_away_stops_a_move_which_goes_on_when_it_is_back(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = {A: Service(), B: Service()}
    filled(file, [A], services.__getitem__)

    def away(*_: object, **__: object) -> None:
        raise UnavailableError("gone")

    with monkeypatch.context() as patched:
        patched.setattr(services[B], "upsert", away)
        with pytest.raises(UnavailableError, match="the shard http://b: gone"):
            moved_to(file, [A, B], services.__getitem__, no_word)
    assert services[A].count(LAYOUT) == COUNT - 1
    assert moved_to(file, [A, B], services.__getitem__, no_word) == len(lives(B, [A, B]))


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[list[Server]]:
    with ExitStack() as stopping:
        yield [stopping.enter_context(qdrant_server(tmp_path / f"server-{each}")) for each in range(3)]


def listed(servers: Sequence[Server]) -> str:
    return ", ".join(server.url for server in servers)


@contextmanager
def shelf(home: Path, servers: Sequence[Server]) -> Iterator[Shelf]:
    """What `troupe run` opens."""
    encoder = SmallEncoder()
    settings = vector_settings({"TROUPE_VECTOR_STORE": "qdrant", "TROUPE_VECTOR_URL": listed(servers)})
    with closing(Store(home)) as store, closing(Shelf(store, carried(encoder), encoder, vectors=settings)) as opened_:
        yield opened_


def run(monkeypatch: pytest.MonkeyPatch, home: Path, servers: Sequence[Server]) -> object:
    """How `troupe collections rebalance` ends."""
    monkeypatch.setenv("TROUPE_HOME", str(home))
    monkeypatch.setenv("TROUPE_VECTOR_STORE", "qdrant")
    monkeypatch.setenv("TROUPE_VECTOR_URL", listed(servers))
    monkeypatch.setattr("sys.argv", ["troupe", "collections", "rebalance", "--json"])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


def test_a_collection_goes_over_to_one_more_server_by_a_command(
    tmp_path: Path, servers: list[Server], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    with shelf(home, servers[:2]) as opened_:
        opened_.open("notes").upsert(PASSAGES, tenant="t")
    with pytest.raises(NotSpreadError, match="`troupe collections rebalance` brings them there"), shelf(home, servers):
        pass

    with locked(home / "workspace.lock"):
        assert run(monkeypatch, home, servers) == 1
    assert f"in use by process {os.getpid()}: stop that one first" in capsys.readouterr().err
    assert run(monkeypatch, home, servers) == 0
    told = msgspec.json.decode(capsys.readouterr().out)
    assert told["services"] == [server.url for server in servers]

    counts = []
    for server in servers:
        with closing(QdrantStore(server.url)) as store:
            counts.append(store.count(store.layouts()[0]))
    assert sum(counts) == 60
    assert told["moved"] == counts[2] > 0
    with shelf(home, servers) as opened_:
        notes = opened_.open("notes")
        assert notes.count(tenant="t") == 60
        assert [notes.search(f"word{each}", limit=1, tenant="t")[0].id for each in range(60)] == [
            each.id for each in PASSAGES
        ]
        notes.upsert([Passage(id="p61", name="", source="s", text="newer")], tenant="t")
        assert notes.search("newer", limit=1, tenant="t")[0].id == "p61"


def test_what_another_home_keeps_in_the_same_services_is_not_touched(
    tmp_path: Path, servers: list[Server], monkeypatch: pytest.MonkeyPatch
) -> None:
    homes = [tmp_path / "one", tmp_path / "two"]
    for home in homes:
        with shelf(home, servers[:1]) as opened_:
            opened_.open("notes").upsert(PASSAGES, tenant="t")
    assert run(monkeypatch, homes[0], servers[:2]) == 0
    with shelf(homes[1], servers[:1]) as opened_:
        assert opened_.open("notes").count(tenant="t") == 60
    with shelf(homes[0], servers[:2]) as opened_:
        assert opened_.open("notes").count(tenant="t") == 60
    with shelf(tmp_path / "three", servers[:2]) as opened_:
        assert opened_.open("notes").count(tenant="t") == 0


def test_ctrl_c_stops_the_command_and_it_says_how_it_goes_on(
    tmp_path: Path, servers: list[Server], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    with shelf(home, servers[:1]) as opened_:
        opened_.open("notes").upsert(PASSAGES, tenant="t")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(QdrantStore, "upsert", interrupt)
        assert run(patched, home, servers[:2]) == 130
    assert "goes on from here" in capsys.readouterr().err
    assert run(monkeypatch, home, servers[:2]) == 0


def test_what_is_in_one_place_is_not_moved(tmp_path: Path) -> None:
    for settings in (VectorSettings(product="qdrant_edge"), VectorSettings(product="milvus")):
        with pytest.raises(VectorSettingsError, match="lists services that share them for milvus, qdrant, weaviate"):
            moved(settings, tmp_path, no_word)


def test_services_that_share_are_opened_as_the_product_that_they_are(tmp_path: Path, servers: list[Server]) -> None:
    settings = VectorSettings(product="qdrant", url=listed(servers))
    with closing(opened(settings, tmp_path)) as store:
        assert isinstance(store, ShardedStore)
        assert {type(each) for each in store.shards.values()} == {QdrantStore}
        assert list(store.shards) == [server.url for server in servers]
