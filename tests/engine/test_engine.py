"""What only the real engine of Pulumi shows: unknown outputs, order, what a second deployment does, and deletion."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from engine_stack import EngineStack
from provider_double import Done

Engine = Callable[[str], EngineStack]

#: Imported by the interpreter itself before the program: a workflow loses an agent, as by a slip of whoever edits it.
LOSES_AN_AGENT = """
import msgspec
from functions.workflows import catalog

research = catalog.WORKFLOWS["research"]
agents = tuple(each for each in research.agents if each.__name__ != "citation")
catalog.WORKFLOWS["research"] = msgspec.structs.replace(research, agents=agents)
"""


@pytest.mark.parametrize("name", ["dev", "prod"])
def test_a_preview_of_a_new_stack_says_what_would_be_made_and_makes_nothing(engine: Engine, name: str) -> None:
    stack = engine(name)
    said = stack.preview()
    assert said.code == 0, said.text
    assert "aws:lambda:Function" in said.text
    assert stack.provider.done == []


def test_a_second_deployment_changes_nothing(engine: Engine) -> None:
    stack = engine("dev")
    assert {each.what for each in stack.up()} == {"create"}
    assert stack.up() == []


def test_a_changed_setting_touches_what_it_is_about_and_nothing_else(engine: Engine) -> None:
    stack = engine("dev")
    stack.up()
    stack.set("agents", "1536", "planner", "memoryMb")
    assert stack.up() == [
        Done("update", "aws:lambda/function:Function", "planner"),
        Done("update", "aws:lambda/alias:Alias", "planner"),
    ]


def test_what_is_protected_is_taken_away_only_once_somebody_says_so(engine: Engine) -> None:
    stack = engine("prod")
    made = stack.up()
    refused = stack.destroy()
    assert refused.code != 0
    assert "protect" in refused.text
    kept = {each.type for each in made} & {"aws:dynamodb/table:Table", "aws:s3/bucket:Bucket"}
    assert kept == {"aws:dynamodb/table:Table", "aws:s3/bucket:Bucket"}
    assert not {each for each in stack.provider.done if each.what == "delete" and each.type in kept}
    stack.must("state", "unprotect", "--all", "--yes", "--stack", "prod")
    taken = stack.destroy()
    assert taken.code == 0, taken.text
    assert not msgspec.json.decode(stack.state())["deployment"].get("resources")


def test_a_stack_that_is_no_longer_wanted_leaves_nothing_but_the_plans_of_its_requests(engine: Engine) -> None:
    stack = engine("dev")
    made = {(each.type, each.name) for each in stack.up()}
    said = stack.destroy()
    assert said.code == 0, said.text
    deleted = {(each.type, each.name) for each in stack.provider.done if each.what == "delete"}
    assert {kind for kind, _ in made - deleted} <= {"aws:s3/bucketObjectv2:BucketObjectv2"}


def test_a_preview_ends_with_everything_that_is_wrong_with_the_settings(engine: Engine) -> None:
    stack = engine("dev")
    stack.set("region", "mars-north-1")
    stack.set("agents", "1", "planner", "memoryMb")
    stack.set("orchestration", "state-machine")
    said = stack.preview()
    assert said.code != 0
    assert "Traceback" not in said.text
    for key in ("region", "memoryMb", "orchestration"):
        assert key in said.text


def test_a_preview_ends_with_everything_that_is_wrong_with_the_workflows(engine: Engine, tmp_path: Path) -> None:
    stack = engine("dev")
    (tmp_path / "sitecustomize.py").write_text(LOSES_AN_AGENT, "utf-8")
    stack.environment["PYTHONPATH"] = str(tmp_path)
    said = stack.preview()
    assert said.code != 0
    assert "research" in said.text
    assert "Traceback" not in said.text
    assert stack.provider.done == []


def test_a_reference_to_a_secret_that_is_not_there_fails_the_preview_and_names_it(engine: Engine) -> None:
    stack = engine("dev")
    stack.provider.secrets = set()
    said = stack.preview()
    assert said.code != 0
    assert "troupe:secrets.api-keys: no secret of that name" in said.text
    assert "Traceback" not in said.text


def test_the_state_of_a_stack_holds_references_to_secrets_alone(engine: Engine) -> None:
    stack = engine("dev")
    stack.up()
    assert "secretString" not in stack.state()
