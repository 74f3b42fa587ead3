"""What a preview says of money is counted from what the settings keep ready or on."""

import pytest
from recorded_stack import prod, stack_file

from infra import prices, rules
from infra.naming import Names
from infra.prices import told, total, warm
from infra.reading import read
from infra.settings import Settings

LEAST = {"secrets": {"api-keys": "troupe/dev/api-keys", "vectors": "troupe/dev/vectors"}, "network": {"vpc": True}}


def stack(**changes: object) -> Settings:
    return read({**LEAST, **changes}, Names(project="troupe", stack="dev"))


def lines(**changes: object) -> dict[str, float | None]:
    found = stack(**changes)
    return {line.what: line.usd for line in warm(found, rules.plans(found))}


def test_a_stack_that_keeps_nothing_on_costs_nothing() -> None:
    elsewhere = {"kind": "url", "url": "https://vectors.example.com"}
    assert lines(secrets={}, api={"auth": "iam"}, vectors=elsewhere, network={}) == {}


def test_a_warm_agent_costs_its_memory_by_the_month() -> None:
    by_file = lines(agents={"retriever": {"warm": 2}})["retriever: 2 warm with 1,024 MB"]
    assert by_file == pytest.approx(2 * 730 * 3600 * 0.0000033334)
    changed = lines(agents={"retriever": {"warm": 1, "memoryMb": 2048}}, architecture="x86_64")
    assert changed["retriever: 1 warm with 2,048 MB"] == pytest.approx(2 * 730 * 3600 * 0.0000041667)


def test_the_server_its_volume_and_the_ways_to_aws_cost_by_the_month() -> None:
    found = lines(network={"vpc": True, "zones": 3}, vectors={"instance": "t4g.medium", "volumeGb": 50})
    assert found == {
        "vector server t4g.medium": pytest.approx(0.0336 * 730),
        "its volume of 50 GB": pytest.approx(4.0),
        "endpoints in 3 zones: events, sqs, secretsmanager": pytest.approx(3 * 3 * 7.3),
        "secrets: 2": pytest.approx(0.8),
    }


def test_a_way_out_a_key_alarms_and_a_model_of_bedrock_cost_too() -> None:
    before = lines()
    after = lines(
        network={"vpc": True, "nat": True},
        encryption="stack",
        alarms={},
        model={"kind": "bedrock", "id": "m", "usdPerMillion": [0, 0]},
    )
    assert {what: usd for what, usd in after.items() if what not in before} == {
        "NAT gateway and its address": pytest.approx(0.05 * 730),
        "endpoints in 2 zones: events, sqs, secretsmanager, bedrock-runtime": pytest.approx(2 * 4 * 7.3),
        "key of the stack": pytest.approx(1.0),
        "alarms: 87": pytest.approx(8.7),
    }


def test_what_is_warm_for_a_caller_and_copies_of_vectors_cost_too() -> None:
    found = lines(warm=1, workflows=["ingest"], protect=True)
    one = pytest.approx(730 * 3600 * 0.5 * 0.0000033334)
    on_the_way = {what: usd for what, usd in found.items() if "warm" in what}
    services = ("api", "authorizer", "desk", "pusher", "socket")
    assert on_the_way == {f"{name}: 1 warm with 512 MB": one for name in services}
    assert found["its daily snapshots, once it is full"] == pytest.approx(20 * 0.05)


def test_a_key_that_the_server_makes_costs_as_much_as_one_that_is_named() -> None:
    assert lines(secrets={"api-keys": "troupe/dev/api-keys"}) == lines()


def test_every_alarm_of_a_stack_is_counted() -> None:
    chosen = stack_file("prod")
    said = [line.what for line in warm(chosen, rules.plans(chosen)) if line.what.startswith("alarms")]
    assert said == [f"alarms: {len(prod().of('MetricAlarm'))}"]


def test_what_has_no_known_price_is_said_and_not_counted() -> None:
    found = stack(vectors={"instance": "r8g.medium"})
    made = warm(found, rules.plans(found))
    assert [line.what for line in made if line.usd is None] == ["vector server r8g.medium"]
    said = told(found, rules.plans(found))
    assert "not known" in said
    assert f"{total(made):9.2f}, and what is not known" in said


def test_a_preview_ends_with_each_line_the_sum_and_where_the_prices_are_from() -> None:
    found = stack()
    said = told(found, rules.plans(found)).splitlines()
    assert [line for line in lines() if not any(line in each for each in said)] == []
    assert f"{total(warm(found, rules.plans(found))):.2f}" in said[-2]
    assert said[-1].startswith(f"List prices of {prices.REGION} as of 2026-06-13")
