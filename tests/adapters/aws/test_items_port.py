"""What the `Items` port promises: the same over DynamoDB and over the memory that the other tests stand on."""

import datetime as dt
import itertools
import json
from collections.abc import Callable, Iterator

import pytest
from aws_stack import make_table
from memory_items import MemoryItems
from rest_server import Answer, Asked, serving

from functions.adapters.aws.client import Aws
from functions.adapters.aws.items import DynamoItems
from functions.ports.items import Due, Item, Items

START = dt.datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=dt.UTC)
KEYS = {"AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}
HOUR = dt.timedelta(hours=1)
_names = itertools.count()

Opened = Callable[[Callable[[], dt.datetime]], Items]


@pytest.fixture(scope="session")
def table(request: pytest.FixtureRequest) -> str:
    make_table(request.getfixturevalue("emulator"), "items")
    return "items"


@pytest.fixture(params=["memory", "dynamodb"])
def items(request: pytest.FixtureRequest) -> Items:
    if request.param == "memory":
        return MemoryItems()
    aws: Aws = request.getfixturevalue("emulated")
    return DynamoItems(aws, request.getfixturevalue("table"), lambda: START)


@pytest.fixture
def partition() -> Iterator[str]:
    return f"partition {next(_names)} ü#"


def values(found: list[Item | None]) -> list[bytes | None]:
    return [each.value if each else None for each in found]


def test_what_was_written_is_read_byte_for_byte(items: Items, partition: str) -> None:
    value = bytes(range(256))
    assert items.put((partition, "key#ü"), value, revision=0)
    assert items.get([(partition, "key#ü")]) == [Item(key="key#ü", value=value, revision=1)]


def test_an_empty_value_and_a_large_one_are_kept(items: Items, partition: str) -> None:
    large = b"\xff" * 350_000
    assert items.put((partition, "empty"), b"", revision=0)
    assert items.put((partition, "large"), large, revision=0)
    assert values(list(items.get([(partition, "empty"), (partition, "large")]))) == [b"", large]


def test_items_come_in_the_order_of_their_places_with_gaps_and_repeats(items: Items, partition: str) -> None:
    places = [(partition, f"{number:03}") for number in range(120)]
    for place in places:
        items.put(place, place[1].encode(), revision=0)
    asked = [*reversed(places), (partition, "none"), places[0]]
    assert values(list(items.get(asked))) == [*(key.encode() for _, key in reversed(places)), None, b"000"]
    assert items.get([]) == []


def test_a_first_write_is_for_one_alone(items: Items, partition: str) -> None:
    assert items.put((partition, "key"), b"first", revision=0)
    assert not items.put((partition, "key"), b"second", revision=0)
    assert values(list(items.get([(partition, "key")]))) == [b"first"]


def test_a_change_needs_the_revision_that_it_replaces(items: Items, partition: str) -> None:
    items.put((partition, "key"), b"1", revision=0)
    assert not items.put((partition, "key"), b"x", revision=2)
    assert items.put((partition, "key"), b"2", revision=1)
    assert not items.put((partition, "key"), b"y", revision=1)
    assert items.get([(partition, "key")]) == [Item(key="key", value=b"2", revision=2)]


def test_a_change_of_what_is_not_there_is_refused(items: Items, partition: str) -> None:
    assert not items.put((partition, "key"), b"x", revision=1)
    assert items.get([(partition, "key")]) == [None]


def test_a_partition_is_read_by_prefix_in_the_order_of_its_keys(items: Items, partition: str) -> None:
    for key in ("b#2", "a#1", "b#1", "b", "c"):
        items.put((partition, key), key.encode(), revision=0)
    items.put((f"{partition}x", "b#0"), b"another's", revision=0)
    items.count((partition, "b#count"), {"n": 1})
    assert [item.key for item in items.query(partition, "b#")] == ["b#1", "b#2"]
    assert [item.key for item in items.query(partition)] == ["a#1", "b", "b#1", "b#2", "c"]
    assert items.query(f"{partition}none") == []


def test_a_partition_that_fills_several_pages_is_read_whole(items: Items, partition: str) -> None:
    for number in range(5):
        items.put((partition, str(number)), bytes([number]) * 300_000, revision=0)
    assert [len(item.value) for item in items.query(partition)] == [300_000] * 5


def test_the_latest_come_oldest_first(items: Items, partition: str) -> None:
    for minute in (3, 1, 2, 4):
        at = START + dt.timedelta(minutes=minute)
        items.put((partition, f"{9 - minute}"), str(minute).encode(), revision=0, at=at)
    items.put((partition, "timeless"), b"", revision=0)
    assert values(list(items.latest(partition, 3))) == [b"2", b"3", b"4"]
    assert values(list(items.latest(partition, 9))) == [b"1", b"2", b"3", b"4"]


def test_the_latest_that_fill_several_pages_are_all_there(items: Items, partition: str) -> None:
    for number in range(8):
        value = bytes([number]) * 300_000
        items.put((partition, str(number)), value, revision=0, at=START + dt.timedelta(minutes=number))
    assert [item.value[0] for item in items.latest(partition, 6)] == [2, 3, 4, 5, 6, 7]


def test_a_counter_adds_and_starts_at_nothing(items: Items, partition: str) -> None:
    place = (partition, "count")
    assert items.counted([place]) == [{}]
    assert items.count(place, {"tokens": 5, "micros": 7}) == {"tokens": 5, "micros": 7}
    assert items.count(place, {"tokens": -2}) == {"tokens": 3, "micros": 7}
    assert items.counted([place, (partition, "none"), place]) == [
        {"tokens": 3, "micros": 7},
        {},
        {"tokens": 3, "micros": 7},
    ]


def test_a_counter_never_exceeds_its_limits(items: Items, partition: str) -> None:
    place = (partition, "count")
    within = {"tokens": 10, "micros": 100}
    assert items.count(place, {"tokens": 11, "micros": 1}, within=within) is None
    assert items.count(place, {"tokens": 10, "micros": 1}, within=within) == {"tokens": 10, "micros": 1}
    assert items.count(place, {"tokens": 1, "micros": 1}, within=within) is None
    assert items.count(place, {"tokens": 0, "micros": 99}, within=within) == {"tokens": 10, "micros": 100}
    assert items.counted([place]) == [{"tokens": 10, "micros": 100}]


def test_what_waits_is_listed_by_group_and_time_until_a_change_leaves_it_out(items: Items, partition: str) -> None:
    group = f"{partition} overdue"
    places = [(partition, str(number)) for number in range(4)]
    for hours, place in zip((3, 1, 2, 9), places, strict=True):
        items.put(place, b"", revision=0, due=Due(group, START + hours * HOUR))
    assert items.due(group, START + 4 * HOUR, 10) == [places[1], places[2], places[0]]
    assert items.due(group, START + 4 * HOUR, 2) == [places[1], places[2]]
    assert items.due(f"{group}x", START + 4 * HOUR, 10) == []
    assert items.put(places[1], b"done", revision=1)
    assert items.due(group, START + 4 * HOUR, 10) == [places[2], places[0]]


def test_no_more_is_read_of_what_waits_than_is_listed(partition: str) -> None:
    """Each call of the API counts what is open, and one of them needs no key."""
    row = {"pk": {"S": partition}, "sk": {"S": "key"}}

    def two_pages(asked: Asked) -> Answer:
        following = {} if "ExclusiveStartKey" in json.loads(asked.body) else {"LastEvaluatedKey": row}
        return Answer(200, json.dumps({"Items": [row], **following}).encode())

    with serving() as server:
        server.script = two_pages
        aws = Aws({"AWS_REGION": "r", "AWS_ENDPOINT_URL": server.url, **KEYS})
        items = DynamoItems(aws, "table", lambda: START)
        assert [len(items.due("open", START, limit)) for limit in (1, 3)] == [1, 2]
        aws.close()
    assert [json.loads(asked.body)["Limit"] for asked in server.asked] == [1, 3, 3]


def test_what_is_deleted_is_gone_and_may_be_deleted_again(items: Items, partition: str) -> None:
    places = [(partition, str(number)) for number in range(60)]
    for place in places:
        items.put(place, b"x", revision=0)
    items.count((partition, "count"), {"n": 1})
    items.delete([places[0], *places[:-1], places[0], (partition, "count"), (partition, "none")])
    items.delete([])
    assert items.query(partition) == [Item(key="59", value=b"x", revision=1)]
    assert items.counted([(partition, "count")]) == [{}]
    assert items.put(places[0], b"again", revision=0)


# DynamoDB's own


def test_an_expired_item_is_not_there_though_the_table_still_has_it(emulated: Aws, table: str, partition: str) -> None:
    now = START
    items = DynamoItems(emulated, table, lambda: now)
    expires = START + 9000 * HOUR  # which the emulator's own clock has not reached
    assert items.put((partition, "key"), b"old", revision=0, expires_at=expires, at=START)
    items.count((partition, "count"), {"n": 1}, expires_at=expires)
    now = expires + HOUR
    assert items.get([(partition, "key")]) == [None]
    assert items.query(partition) == []
    assert items.latest(partition, 5) == []
    assert items.counted([(partition, "count")]) == [{}]
    assert items.put((partition, "key"), b"new", revision=0)
    assert items.get([(partition, "key")]) == [Item(key="key", value=b"new", revision=1)]


def test_of_two_that_write_the_same_at_once_one_knows_that_it_is_not_its_own(
    emulated: Aws, table: str, partition: str
) -> None:
    items = DynamoItems(emulated, table, lambda: START)
    written = [items.put((partition, "key"), b"the same", revision=0, at=START) for _ in range(2)]
    assert written == [True, False]


def test_a_write_whose_answer_was_lost_knows_itself_again(partition: str) -> None:
    """It is sent once more, and refused: with what is there already, which is what was sent."""
    sent = list[bytes]()

    def refusing(asked: Asked) -> Answer:
        sent.append(asked.body)
        if len(sent) == 1:
            return Answer(500, b"{}")
        there = {"__type": "ConditionalCheckFailedException", "Item": json.loads(sent[0])["Item"]}
        return Answer(400, json.dumps(there).encode())

    with serving() as server:
        server.script = refusing
        aws = Aws({"AWS_REGION": "r", "AWS_ENDPOINT_URL": server.url, **KEYS})
        assert DynamoItems(aws, "table", lambda: START).put((partition, "key"), b"mine", revision=0)
        aws.close()
    assert len(sent) == 2
    assert sent[0] == sent[1]


def test_numbers_are_written_as_dynamodb_gives_them_back(partition: str) -> None:
    """Or a row that was written twice would not be known again: DynamoDB leaves out a zero behind the point."""
    with serving() as server:
        aws = Aws({"AWS_REGION": "r", "AWS_ENDPOINT_URL": server.url, **KEYS})
        items = DynamoItems(aws, "table", lambda: START)
        for at in (START, START.replace(microsecond=0), START.replace(microsecond=500_000)):
            items.put((partition, "key"), b"", revision=0, at=at)
        aws.close()
        written = [json.loads(asked.body)["Item"]["at"]["N"] for asked in server.asked]
    assert written == ["1772366400.123456", "1772366400", "1772366400.5"]
