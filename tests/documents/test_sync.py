import os
from contextlib import suppress
from pathlib import Path

import pytest
from document_fakes import TENANT, CrashError, Doc, FakeCollection, FakeLedger, Fuse, unreadable
from hypothesis import example, given, settings
from hypothesis import strategies as st

from functions.documents import sync as module
from functions.documents.folder import open_folder
from functions.documents.sync import Report, Skipped, sync


class Corpus:
    """A collection and its ledger, over several runs."""

    def __init__(self) -> None:
        self.fuse = Fuse()
        self.collection = FakeCollection(self.fuse)
        self.ledger = FakeLedger(self.fuse)
        self.progress: list[tuple[int, int]] = []

    def sync(self, *documents: Doc) -> Report:
        self.progress = []
        return sync(
            documents,
            self.collection,
            self.ledger,
            tenant=TENANT,
            progress=lambda done, total: self.progress.append((done, total)),
        )

    @property
    def names(self) -> list[str]:
        return sorted(f"{p.source} {p.name}" for p in self.collection.points.get(TENANT, {}).values())


@pytest.fixture
def corpus() -> Corpus:
    return Corpus()


def test_a_first_run_reads_everything(corpus: Corpus) -> None:
    report = corpus.sync(Doc("a", ("x", "y")), Doc("b", ("x",)))
    assert report == Report(added=["a", "b"], written=3)
    assert corpus.names == ["a x", "a y", "b x"]


def test_a_second_run_reads_and_writes_nothing(corpus: Corpus) -> None:
    corpus.sync(Doc("a", ("x",)))
    corpus.fuse.writes = 0
    again = Doc("a", ("x",))
    assert corpus.sync(again) == Report(unchanged=1)
    assert again.reads == 0
    assert corpus.progress == []


def test_a_changed_file_replaces_its_passages_and_encodes_only_the_new_ones(corpus: Corpus) -> None:
    corpus.sync(Doc("a", ("x", "y", "z")))
    report = corpus.sync(Doc("a", ("x", "new", "z")))
    assert report == Report(changed=["a"], written=1, deleted=1)
    assert corpus.names == ["a new", "a x", "a z"]


def test_a_deleted_file_removes_its_passages(corpus: Corpus) -> None:
    corpus.sync(Doc("a", ("x",)), Doc("b", ("x",)))
    assert corpus.sync(Doc("b", ("x",))) == Report(removed=["a"], unchanged=1, deleted=1)
    assert corpus.names == ["b x"]
    assert set(corpus.ledger.kept) == {"b"}


def test_a_file_that_became_unreadable_loses_its_passages_and_is_not_parsed_again(corpus: Corpus) -> None:
    corpus.sync(Doc("a", ("x",)))
    assert corpus.sync(unreadable("a", "is broken")) == Report(skipped=[Skipped("a", "is broken")], deleted=1)
    assert corpus.names == []
    again = unreadable("a", "is broken")
    assert corpus.sync(again).skipped == [Skipped("a", "is broken")]
    assert again.reads == 0
    assert corpus.sync(Doc("a", ("x",))).added == ["a"]


def test_a_file_that_could_not_be_opened_is_tried_again(corpus: Corpus) -> None:
    assert corpus.sync(Doc("a", ("x",), PermissionError(13, "Permission denied"))).skipped == [
        Skipped("a", "cannot be opened (permission denied)")
    ]
    assert corpus.sync(Doc("a", ("x",))).added == ["a"]


def test_passages_that_the_collection_lost_are_written_again(corpus: Corpus) -> None:
    corpus.sync(Doc("a", ("x", "y")), Doc("b", ("x",)))
    lost = next(i for i, p in corpus.collection.points[TENANT].items() if p.name == "y")
    del corpus.collection.points[TENANT][lost]
    report = corpus.sync(Doc("a", ("x", "y")), Doc("b", ("x",)))
    assert (report.changed, report.unchanged, report.written) == (["a"], 1, 1)
    assert corpus.names == ["a x", "a y", "b x"]


def test_passages_that_a_lost_ledger_knew_are_removed_and_the_others_not_encoded_again(corpus: Corpus) -> None:
    corpus.sync(Doc("a", ("x",)), Doc("b", ("y", "z")))
    corpus.ledger = FakeLedger(corpus.fuse)
    report = corpus.sync(Doc("b", ("y", "z")))
    assert corpus.names == ["b y", "b z"]
    assert (report.written, report.deleted) == (0, 1)
    assert corpus.sync(Doc("b", ("y", "z"))) == Report(unchanged=1)


def test_other_tenants_are_not_touched(corpus: Corpus) -> None:
    others = Doc("a", ("x",)).read()
    corpus.collection.upsert(others, tenant="other")
    corpus.sync(Doc("a", ("x",)))
    corpus.sync()
    assert corpus.names == []
    assert corpus.collection.read([others[0].id], tenant="other") == others


def test_progress_runs_from_nothing_to_all_and_never_backwards(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "UPSERT_PASSAGES", 2)
    monkeypatch.setattr(module, "BATCH_PASSAGES", 5)
    corpus.sync(*(Doc(f"{n}", tuple("abcdefg"[: n + 1])) for n in range(7)))
    done = [at for at, _ in corpus.progress]
    assert {total for _, total in corpus.progress} == {28}
    assert (done[0], done[-1]) == (0, 28)
    assert done == sorted(done)
    assert len(set(done)) > 7


def test_an_interrupted_first_run_does_not_encode_again_what_it_stored(corpus: Corpus) -> None:
    documents = [Doc(f"{n}", tuple(f"w{m}" for m in range(100))) for n in range(10)]
    corpus.fuse.writes = 700
    with pytest.raises(CrashError):
        corpus.sync(*documents)
    stored = set(corpus.collection.encoded)
    assert len(stored) > 600
    corpus.fuse.writes, corpus.collection.encoded = 1_000_000, []
    corpus.sync(*documents)
    assert not stored & set(corpus.collection.encoded)
    assert corpus.collection.count(tenant=TENANT) == 1_000


def test_a_document_that_took_long_to_read_is_not_read_again_after_a_crash(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH_SECONDS", 0.0)
    slow, after = unreadable("a", "takes more than 60 s to read"), Doc("b", ("x",), problem=None)
    corpus.fuse.writes = 3  # of the ledger: twice for the first document, once for the second
    with pytest.raises(CrashError):
        corpus.sync(slow, after)
    corpus.fuse.writes = 1_000_000
    corpus.sync(slow, after)
    assert (slow.reads, corpus.names) == (1, ["b x"])


words = st.lists(st.sampled_from("abcdef"), max_size=5, unique=True).map(tuple)
versions = st.dictionaries(st.sampled_from("pqr"), words, max_size=3)


@settings(max_examples=60)
@given(st.lists(st.tuples(versions, st.integers(0, 25)), min_size=1, max_size=4), versions)
@example([({"p": ("a", "b", "c"), "q": ("a",)}, 7), ({}, 1)], {"p": ("a",)})  # half of q hides what p lost
def test_killed_anywhere_the_next_run_leaves_no_gap_no_duplicate_and_no_orphan(
    runs: list[tuple[dict[str, tuple[str, ...]], int]], last: dict[str, tuple[str, ...]]
) -> None:
    corpus = Corpus()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "UPSERT_PASSAGES", 2)
        patched.setattr(module, "BATCH_PASSAGES", 3)
        for version, writes in runs:
            corpus.fuse.writes = writes
            try:
                corpus.sync(*(Doc(source, held) for source, held in version.items()))
            except CrashError:
                continue
        corpus.fuse.writes = 1_000_000
        corpus.sync(*(Doc(source, held) for source, held in last.items()))
    assert corpus.names == sorted(f"{source} {word}" for source, held in last.items() for word in held)
    recorded = {one for entry in corpus.ledger.kept.values() for one in entry.ids}
    assert recorded == set(corpus.collection.points.get(TENANT, {}))
    assert all(entry.fingerprint for entry in corpus.ledger.kept.values())


class TestOfAFolder:
    def run(self, root: Path, corpus: Corpus) -> Report:
        with open_folder(root) as folder:
            return sync(folder.documents, corpus.collection, corpus.ledger, tenant=TENANT)

    def test_an_edit_a_deletion_and_a_move_are_followed(self, tmp_path: Path, corpus: Corpus) -> None:
        for name in "abc":
            (tmp_path / f"{name}.md").write_text(f"# {name}\n\ntext of {name}")
        assert self.run(tmp_path, corpus).added == ["a.md", "b.md", "c.md"]
        (tmp_path / "a.md").write_text("# a\n\nanother text of a")
        (tmp_path / "b.md").unlink()
        (tmp_path / "c.md").rename(tmp_path / "d.md")
        report = self.run(tmp_path, corpus)
        assert (report.added, report.changed, report.removed) == (["d.md"], ["a.md"], ["b.md", "c.md"])
        assert corpus.names == ["a.md a", "d.md c"]
        assert self.run(tmp_path, corpus) == Report(unchanged=2)

    def test_an_edit_that_keeps_size_and_time_is_seen(self, tmp_path: Path, corpus: Corpus) -> None:
        path = tmp_path / "a.md"
        path.write_text("one")
        os.utime(path, ns=(0, 0))
        self.run(tmp_path, corpus)
        copy = tmp_path / "copy"
        copy.write_text("two")
        os.utime(copy, ns=(0, 0))
        copy.replace(path)
        assert self.run(tmp_path, corpus).changed == ["a.md"]

    def test_a_touched_file_is_not_encoded_again(self, tmp_path: Path, corpus: Corpus) -> None:
        (tmp_path / "a.md").write_text("one")
        self.run(tmp_path, corpus)
        os.utime(tmp_path / "a.md", ns=(0, 0))
        assert self.run(tmp_path, corpus) == Report(unchanged=1)


def test_what_is_newly_known_of_a_work_reaches_its_passages_without_encoding(corpus: Corpus) -> None:
    corpus.sync(Doc("a", ("x", "y")))
    encoded = len(corpus.collection.encoded)
    report = corpus.sync(Doc("a", ("x", "y"), edition=2))
    assert report == Report(unchanged=1)
    assert len(corpus.collection.encoded) == encoded
    assert {each.work.version for each in corpus.collection.points[TENANT].values()} == {"2"}


def test_a_crash_while_works_are_described_is_made_up_for(corpus: Corpus) -> None:
    corpus.sync(Doc("a", ("x", "y", "z")))
    for writes in range(8):
        corpus.fuse.writes = writes
        with suppress(CrashError):
            corpus.sync(Doc("a", ("x", "y", "z"), edition=writes + 2))
        corpus.fuse.writes = 1_000
        corpus.sync(Doc("a", ("x", "y", "z"), edition=writes + 2))
        assert {each.work.version for each in corpus.collection.points[TENANT].values()} == {str(writes + 2)}
