"""The ports `Catalog`, `Ledger`, `Effects` and `Vault`: the same promises on one machine and over items."""

from datetime import timedelta

import msgspec
import pytest
from harness import START, Clock
from memory_items import MemoryItems
from stacks import ItemStack, Stack

from functions.adapters.items import keys
from functions.adapters.items.catalog import LISTED, SAID_EVERY
from functions.errors import PermanentError, TroupeError
from functions.events.envelope import digest
from functions.ports.actions import ActionResult
from functions.ports.catalog import ChangedMeanwhileError, Progress, Version
from functions.ports.catalog import Entry as Collection
from functions.ports.effects import LONGEST_S, Effect, Sent, Status
from functions.ports.items import MOST_BYTES
from functions.ports.ledger import Entry
from functions.ports.personal import Original
from functions.ports.vector_stores import Layout
from functions.runtime.topology import RESERVED_AGENTS, SHARED_ITEMS

DAY_S = 24 * 3600.0


# ------------------------------------------------------------------------------------------------- catalog


def collection(name: str = "docs", **changes: object) -> Collection:
    version = Version(
        number=1, layout=Layout(name=f"{name}-1", encoder="e.1", dimension=3), phase="whole", created=START
    )
    entry = Collection(name=name, key=f"{name}-1", current=1, versions=(version,))
    return msgspec.structs.replace(entry, **changes)


def test_an_entry_is_read_as_it_was_written_by_whoever_asks(stack: Stack) -> None:
    assert stack.catalog().read("docs") is None
    written = stack.catalog().write(collection())
    assert written == collection(revision=1)
    assert stack.catalog().read("docs") == written
    assert stack.catalog("another store").read("docs") is None
    assert stack.catalog("another store").entries() == []


def test_an_entry_is_changed_only_over_what_its_writer_read(stack: Stack) -> None:
    first = stack.catalog().write(collection())
    second = stack.catalog().write(msgspec.structs.replace(first, ttl_s=60.0))
    for stale in (first, collection()):
        with pytest.raises(ChangedMeanwhileError, match="docs was changed"):
            stack.catalog().write(stale)
    assert stack.catalog().read("docs") == second


def test_entries_are_listed_by_name(stack: Stack) -> None:
    for name in ("python", "docs"):
        stack.catalog().write(collection(name))
    assert [entry.name for entry in stack.catalog().entries()] == ["docs", "python"]


def test_progress_is_kept_for_each_version(stack: Stack) -> None:
    begun = Progress(collection="docs", number=2, started=START, at=START, total=9)
    moved = msgspec.structs.replace(begun, done=5, after="p5")
    for each in (begun, moved):
        stack.catalog().put_progress(each)
    assert stack.catalog().progress("docs", 2) == moved
    assert stack.catalog().progress("docs", 3) is None


def test_who_uses_collections_is_listed_with_what_it_carries(stack: Stack) -> None:
    assert stack.catalog().carriers() == []
    stack.catalog(carries=["e.1", "e.2"]).read("docs")
    (carrier,) = stack.catalog().carriers()
    assert carrier.encoders == {"e.1", "e.2"}


def test_a_function_says_what_it_carries_before_it_reads_an_entry_and_again_while_it_does(cloud: ItemStack) -> None:
    catalog = cloud.catalog(carries=["e.1"])
    for _ in range(20):
        catalog.read("docs")
        assert cloud.catalog().carriers(), "nobody is at work unseen"
        cloud.clock.advance(SAID_EVERY.total_seconds() / 2)


def test_a_function_that_is_gone_is_not_waited_for_longer_than_it_can_live(cloud: ItemStack) -> None:
    cloud.catalog(carries=["e.1"]).read("docs")
    cloud.clock.advance(LISTED.total_seconds() - 1)
    assert cloud.catalog().carriers()
    cloud.clock.advance(1)
    assert cloud.catalog().carriers() == []


def test_it_is_said_once_in_a_while_and_not_at_each_use() -> None:
    steps: list[str] = []
    cloud = ItemStack(MemoryItems(steps.append), Clock())
    catalog = cloud.catalog(carries=["e.1"])
    for _ in range(10):
        catalog.read("docs")
    assert len([step for step in steps if step.startswith("before put")]) == 1


def test_of_many_that_begin_at_once_each_says_it_once() -> None:
    steps: list[str] = []

    def step(step: str) -> None:
        steps.append(step)
        if others and step.startswith("before put"):
            others.pop().read("docs")

    cloud = ItemStack(MemoryItems(step), Clock())
    others = [cloud.catalog(carries=["e.1"]) for _ in range(3)]
    cloud.catalog(carries=["e.1"]).read("docs")
    assert len([step for step in steps if step.startswith("before put")]) == 4
    assert len(cloud.catalog().carriers()) == 1


def test_a_name_without_an_entry_is_not_listed(cloud: ItemStack) -> None:
    """As a crash between the two writes leaves it."""
    cloud.items.put((keys.names("here"), "docs"), b"", revision=0)
    assert cloud.catalog().entries() == []
    assert cloud.catalog().write(collection()).revision == 1
    assert [entry.name for entry in cloud.catalog().entries()] == ["docs"]


# -------------------------------------------------------------------------------------------------- ledger


def test_what_was_read_is_kept_by_source_for_its_corpus_alone(stack: Stack) -> None:
    one = Entry(source="a/1", fingerprint="f", ids=("p1", "p2"))
    two = Entry(source="b" * 3_000, fingerprint="", problem="is empty")
    stack.ledger().put([one, two])
    changed = msgspec.structs.replace(one, fingerprint="", ids=("p3",))
    stack.ledger().put([changed])
    assert sorted(stack.ledger().entries(), key=lambda entry: entry.source) == [changed, two]
    assert stack.ledger("another corpus").entries() == []
    found = [stack.ledger().find(source) for source in ("a/1", two.source, "nothing")]
    assert found == [changed, two, None]
    assert stack.ledger("another corpus").find("a/1") is None
    stack.ledger().remove(["a/1", "nothing"])
    assert stack.ledger().entries() == [two]


def test_ten_thousand_passages_of_a_document_are_kept_track_of(stack: Stack) -> None:
    entry = Entry(source="a", fingerprint="f", ids=tuple(digest(number) for number in range(10_000)))
    stack.ledger().put([entry])
    assert stack.ledger().entries() == [entry]


def test_a_document_of_more_passages_than_fit_is_refused_and_says_what_to_do(cloud: ItemStack) -> None:
    entry = Entry(source="a", fingerprint="f", ids=tuple(digest(number) for number in range(30_000)))
    small = Entry(source="b", fingerprint="f")
    with pytest.raises(PermanentError, match="split it") as raised:
        cloud.ledger().put([small, entry])
    assert raised.value.reason == "document too large"
    assert cloud.ledger().entries() == []


# ------------------------------------------------------------------------------------------------- effects


def intent(key: str = "k1", **changes: object) -> Effect:
    effect = Effect(
        key=key,
        request="r1",
        conversation="c1",
        action="notify",
        status="sending",
        sent=Sent(method="POST", url="https://example.com", body="{}", key_header="Idempotency-Key"),
        at=START,
    )
    return msgspec.structs.replace(effect, **changes)


def unkeyed(**changes: object) -> Effect:
    return intent(sent=Sent(method="POST", url="https://example.com", body="{}"), **changes)


def test_what_is_about_to_be_sent_is_put_down_first(stack: Stack) -> None:
    stack.accept("r1")
    assert stack.effects().find("k1") is None
    assert stack.effects().begin(intent(), key_lasts_s=DAY_S) == intent()
    assert stack.effects().find("k1") == intent()
    assert stack.effects("another tenant").find("k1") is None


def test_a_second_beginning_sends_again_only_under_a_key(stack: Stack) -> None:
    stack.accept("r1")
    for effect, then in ((intent(), "sending again"), (unkeyed(key="k2"), "in doubt")):
        stack.effects().begin(effect, key_lasts_s=DAY_S)
        assert stack.effects().begin(effect, key_lasts_s=DAY_S).status == then
        assert stack.effects().find(effect.key) == msgspec.structs.replace(effect, status=then)


def test_what_is_done_stays_done_with_its_answer(stack: Stack) -> None:
    stack.accept("r1")
    stack.accept("r2")
    stack.effects().begin(intent(), key_lasts_s=DAY_S)
    answer = ActionResult(status=201, text="number 7")
    stack.effects().end("k1", "done", answer)
    stack.effects().end("k1", "in doubt")
    again = stack.effects().begin(intent(request="r2"), key_lasts_s=DAY_S)
    assert again == intent(status="done", received=answer)


def test_what_was_refused_is_sent_anew(stack: Stack) -> None:
    stack.accept("r1")
    stack.effects().begin(unkeyed(), key_lasts_s=DAY_S)
    stack.effects().end("k1", "refused", ActionResult(status=400))
    later = unkeyed(at=START + timedelta(hours=1))
    assert stack.effects().begin(later, key_lasts_s=DAY_S) == later


def test_the_end_of_what_nobody_began_is_no_error(stack: Stack) -> None:
    stack.effects().end("k1", "done")
    assert stack.effects().effects() == []


def test_effects_are_listed_oldest_first_and_by_conversation(stack: Stack) -> None:
    stack.accept("r1")
    stack.accept("r2", conversation="c#2")
    begun = [
        intent("k2"),
        intent("k1", at=START + timedelta(seconds=1)),
        intent("k0", at=START + timedelta(seconds=2), request="r2", conversation="c#2"),
    ]
    for effect in reversed(begun):
        stack.effects().begin(effect, key_lasts_s=DAY_S)
    assert stack.effects().effects() == begun
    assert stack.effects().effects(conversation="c1") == begun[:2]
    assert stack.effects().effects(conversation="c#2") == begun[2:]
    assert stack.effects().effects(conversation="c3") == []


def test_what_nobody_knows_the_end_of_is_told_of_a_request(stack: Stack) -> None:
    stack.accept("r1")
    stack.accept("r2")
    ends: list[tuple[str, Status]] = [("k1", "done"), ("k2", "in doubt"), ("k3", "refused"), ("k4", "sending")]
    for key, status in ends:
        stack.effects().begin(intent(key), key_lasts_s=DAY_S)
        stack.effects().end(key, status)
    stack.effects().begin(intent("k5", request="r2"), key_lasts_s=DAY_S)
    assert [each.key for each in stack.effects().in_doubt("r1")] == ["k2", "k4"]
    assert stack.effects().in_doubt("r3") == []


def test_an_erased_request_has_nothing_sent_or_put_down(stack: Stack) -> None:
    stack.accept("r1")
    stack.erase("r1")
    with pytest.raises(PermanentError) as raised:
        stack.effects().begin(intent(), key_lasts_s=DAY_S)
    assert raised.value.reason == "erased"
    assert stack.effects().effects() == []


def test_a_person_settles_what_is_in_doubt_and_nothing_else(stack: Stack) -> None:
    stack.accept("r1")
    stack.effects().begin(intent(), key_lasts_s=DAY_S)
    with pytest.raises(TroupeError, match="may be being sent right now"):
        stack.effects().settle("k1", "done")
    stack.clock.advance(LONGEST_S)
    settled = stack.effects().settle("k1", "done")
    assert settled == intent(status="done", received=ActionResult(status=None)) == stack.effects().find("k1")
    with pytest.raises(TroupeError, match="k1 is done"):
        stack.effects().settle("k1", "not done")
    with pytest.raises(TroupeError, match="no effect k9"):
        stack.effects().settle("k9", "done")


def test_of_two_that_begin_at_the_same_moment_one_sends() -> None:
    """Both found nothing; the second is at its write when the first has written the same intent."""
    other: list[Effect] = []

    def first_meanwhile(step: str) -> None:
        if step == "before put k1" and not other:
            other.append(unkeyed())
            other[0] = cloud.effects().begin(unkeyed(), key_lasts_s=DAY_S)

    cloud = ItemStack(MemoryItems(first_meanwhile), Clock())
    cloud.accept("r1")
    mine = cloud.effects().begin(unkeyed(), key_lasts_s=DAY_S)
    assert [other[0].status, mine.status] == ["sending", "in doubt"]


def test_two_writes_of_the_same_intent_are_never_equal(cloud: ItemStack) -> None:
    """A store that knows a repeat of its own write again would let both of them send."""
    cloud.accept("r1")
    values = set()
    for _ in range(2):
        cloud.effects().begin(unkeyed(), key_lasts_s=DAY_S)
        (item,) = cloud.items.get([keys.effect("t", "k1")])
        assert item is not None
        values.add(item.value)
        cloud.items.delete([keys.effect("t", "k1")])
    assert len(values) == 2


@pytest.mark.parametrize("step", ["after put k1", "before put k1", "before put effect", "after put effect"])
def test_what_is_erased_while_it_is_put_down_is_not_sent_and_leaves_nothing(step: str) -> None:
    def erase(now: str) -> None:
        if now == step:
            cloud.erase("r1")

    items = MemoryItems(erase)
    cloud = ItemStack(items, Clock())
    cloud.accept("r1")
    with pytest.raises(PermanentError) as raised:
        cloud.effects().begin(intent(), key_lasts_s=DAY_S)
    assert raised.value.reason == "erased"
    assert not any(items.partitions.values())


def test_what_fits_into_no_item_is_not_sent(cloud: ItemStack) -> None:
    cloud.accept("r1")
    large = Sent(method="POST", url="https://example.com", body="x" * MOST_BYTES)
    with pytest.raises(PermanentError, match="send less") as raised:
        cloud.effects().begin(intent(sent=large), key_lasts_s=DAY_S)
    assert raised.value.reason == "effect too large"
    assert cloud.effects().effects() == []


def test_an_answer_that_fits_into_no_item_is_kept_as_far_as_it_does(cloud: ItemStack) -> None:
    cloud.accept("r1")
    cloud.effects().begin(intent(), key_lasts_s=DAY_S)
    cloud.effects().end("k1", "done", ActionResult(status=200, text="é" * MOST_BYTES))
    found = cloud.effects().find("k1")
    assert found is not None
    assert found.received is not None
    assert found.received.cut
    assert set(found.received.text) == {"é"}


# --------------------------------------------------------------------------------------------------- vault


def original(token: str, sealed: bytes = b"sealed", *, days: float = 7) -> Original:
    return Original(token=token, sealed=sealed, expires_at=START + timedelta(days=days))


def test_originals_come_back_by_token_to_their_tenant_alone(stack: Stack) -> None:
    kept = [original("[EMAIL-a]", b"\x00\xff"), original("[PHONE-b]")]
    stack.vault().put(kept, tenant="t")
    tokens = ["[PHONE-b]", "[EMAIL-a]", "[EMAIL-a]", "[CARD-c]"]
    assert sorted(stack.vault().get(tokens, tenant="t", now=START), key=lambda each: each.token) == kept
    assert stack.vault().get(tokens, tenant="another", now=START) == []
    assert stack.vault().get([], tenant="t", now=START) == []


def test_an_original_lives_as_long_as_the_later_of_both_under_the_newer_seal(stack: Stack) -> None:
    for days, sealed in ((2, b"1"), (7, b"2"), (3, b"3")):
        stack.vault().put([original("[EMAIL-a]", sealed, days=days)], tenant="t")
    (found,) = stack.vault().get(["[EMAIL-a]"], tenant="t", now=START + timedelta(days=6))
    assert found == original("[EMAIL-a]", b"3", days=7)
    assert stack.vault().get(["[EMAIL-a]"], tenant="t", now=START + timedelta(days=7)) == []


def test_an_expired_original_is_gone_from_the_items(cloud: ItemStack) -> None:
    items = cloud.items
    assert isinstance(items, MemoryItems)
    cloud.vault().put([original("[EMAIL-a]")], tenant="t")
    assert cloud.vault().expire(START + timedelta(days=8)) == 0
    items.expire(START + timedelta(days=8))
    assert not any(items.partitions.values())


# --------------------------------------------------------------------------------------------------- names


def test_no_agent_may_be_called_like_what_all_of_them_share() -> None:
    shared = {keys.REQUEST, keys.CONVERSATION, keys.COLLECTION, keys.DOCUMENT, keys.EFFECT, keys.VAULT}
    assert shared <= set(SHARED_ITEMS) <= set(RESERVED_AGENTS)
