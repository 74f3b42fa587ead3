"""The stack files that come with the project are stacks, and what is said about settings elsewhere holds."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft7Validator

from infra import prices, rules
from infra.naming import Names
from infra.reading import read
from infra.schema import PAGE, SCHEMA, TABLE, rows, stack_schema, table, written
from infra.settings import Settings, key_of, schema

ROOT = Path(__file__).parents[2]
STACKS = ("dev", "prod")


def loaded(stack: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text("utf-8"))
    return found


def shipped(stack: str) -> Settings:
    given = {key.removeprefix("troupe:"): value for key, value in loaded(stack)["config"].items()}
    return read(given, Names(project="troupe", stack=stack))


@pytest.mark.parametrize("stack", STACKS)
def test_the_shipped_stacks_are_valid(stack: str) -> None:
    assert shipped(stack).workflows == ("answer", "research", "ingest")


@pytest.mark.parametrize("stack", STACKS)
def test_the_shipped_stacks_fit_the_schema_that_their_first_line_names(stack: str) -> None:
    first = (ROOT / f"Pulumi.{stack}.yaml").read_text("utf-8").partition("\n")[0]
    assert first == f"# yaml-language-server: $schema={SCHEMA.relative_to(ROOT)}"
    Draft7Validator(json.loads(SCHEMA.read_text("utf-8"))).validate(loaded(stack))


def test_prod_keeps_what_dev_may_lose() -> None:
    dev, prod = shipped("dev"), shipped("prod")
    assert (dev.protect, prod.protect) == (False, True)
    assert (dev.alarms is None, prod.alarms is None) == (True, False)
    assert dev.log_retention_days < prod.log_retention_days
    assert dev.network.zones < prod.network.zones
    assert not any(each.warm for each in dev.agents.values())
    assert not set(dev.secrets.values()) & set(prod.secrets.values())


def test_every_agent_between_a_question_and_its_answer_is_warm_in_prod() -> None:
    prod = shipped("prod")
    every = {name for plan in rules.plans(prod).values() for name in plan.nodes}
    assert every - {name for name, agent in prod.agents.items() if agent.warm} == {"ingester", "caller"}
    assert not prod.actions  # `caller` is never asked


@pytest.mark.parametrize("stack", STACKS)
def test_each_setting_of_prod_and_dev_says_why(stack: str) -> None:
    lines = (ROOT / f"Pulumi.{stack}.yaml").read_text("utf-8").splitlines()
    keys = [at for at, line in enumerate(lines) if line.startswith("  troupe:")]
    bare = [lines[at].strip() for at in keys if not lines[at - 1].startswith("  #")]
    assert {each.partition(":")[2].partition(":")[0] for each in bare} <= {
        *("region", "costCentre", "deadLetterRetentionDays")  # the one names a place, the next itself; the last: above
    }


@pytest.mark.parametrize("stack", STACKS)
def test_the_price_in_a_stack_file_is_what_stays_on(stack: str) -> None:
    said = re.search(r"costs about \$(\d+) a month", (ROOT / f"Pulumi.{stack}.yaml").read_text("utf-8"))
    assert said
    found = shipped(stack)
    assert float(said[1]) == pytest.approx(prices.total(prices.warm(found, rules.plans(found))), abs=1)


def test_the_project_file_has_the_same_defaults() -> None:
    project: dict[str, Any] = yaml.safe_load((ROOT / "Pulumi.yaml").read_text("utf-8"))
    assert (project["name"], project["runtime"]["name"]) == ("troupe", "python")
    given = schema()["properties"]
    assert {key: each["default"] for key, each in project["config"].items()} == {
        key: given[key]["default"] for key in project["config"]
    }


def test_the_schema_of_stack_files_is_up_to_date() -> None:
    assert SCHEMA.read_text("utf-8") == written(), "run .venv/bin/python -m infra.schema"
    Draft7Validator.check_schema(stack_schema())


def test_the_page_of_settings_is_up_to_date() -> None:
    assert TABLE.findall(PAGE.read_text("utf-8")) == [table()], "run .venv/bin/python -m infra.schema"


def test_every_setting_is_described() -> None:
    described = {row.key.rpartition(".")[2]: row.what for row in rows()}
    assert all(described.values())
    assert {key_of(field) for field in Settings.__struct_fields__} <= described.keys()


@pytest.mark.parametrize(
    "wrong",
    [
        {"troupe:reigon": "eu-west-1"},
        {"troupe:logRetentionDays": 31},
        {"troupe:agents": {"planner": {"memoryMb": 64}}},
        {"troupe:secrets": {"modle": "x"}},
        {"troupe:model": {"kind": "bedrock"}},
        {"troupe:model": {"kind": "bedrock", "id": "x", "usdPerMillion": [1, 2, 3]}},
    ],
)
def test_an_editor_marks_what_a_preview_would_refuse(wrong: dict[str, Any]) -> None:
    assert not Draft7Validator(stack_schema()).is_valid({"config": wrong})


def test_an_editor_takes_what_is_pulumis_own_and_other_providers() -> None:
    given = {"encryptionsalt": "v1:x", "config": {"aws:profile": "me", "troupe:protect": True}}
    Draft7Validator(stack_schema()).validate(given)
