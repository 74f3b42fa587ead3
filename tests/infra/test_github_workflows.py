"""What runs for a pull request and on main has no more rights than it needs, and runs what was looked at."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
ACTIONS = sorted((ROOT / ".github" / "actions").glob("*/action.yml"))
PINNED = re.compile(r"uses: (\./\.github/\S+|[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+)")


def loaded(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = yaml.load(file.read_text("utf-8"), Loader=yaml.BaseLoader)  # noqa: S506 - texts alone
    return found


def jobs(name: str) -> dict[str, Any]:
    found: dict[str, Any] = loaded(ROOT / ".github" / "workflows" / name)["jobs"]
    return found


def values(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for each in part.values():
            yield from values(each)
    elif isinstance(part, list):
        for each in part:
            yield from values(each)
    else:
        yield str(part)


@pytest.mark.parametrize("file", [*WORKFLOWS, *ACTIONS], ids=lambda file: str(file.relative_to(ROOT)))
def test_an_action_of_somebody_else_is_a_commit_that_was_looked_at(file: Path) -> None:
    used = [line.strip().removeprefix("- ") for line in file.read_text("utf-8").splitlines() if "uses: " in line]
    assert [line for line in used if not PINNED.fullmatch(line)] == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_a_workflow_begins_with_reading_at_most_and_no_secret_of_the_repository(file: Path) -> None:
    given = loaded(file)
    assert given["permissions"] in ({}, "", {"contents": "read"})
    assert "pull_request_target" not in given["on"]
    assert [each for each in values(given) if "secrets." in each] == []


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_only_who_is_given_a_role_may_ask_for_one(file: Path) -> None:
    for name, job in loaded(file)["jobs"].items():
        roles = [step["with"]["role"] for step in job.get("steps", ()) if "role" in step.get("with", {})]
        assert ("id-token" in job.get("permissions", {})) == bool(roles), name
        assert all(role.startswith("${{ vars.AWS_") for role in roles)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.name)
def test_nothing_of_a_caller_is_put_into_a_script(file: Path) -> None:
    scripts = [step["run"] for job in loaded(file)["jobs"].values() for step in job.get("steps", ()) if "run" in step]
    assert [script for script in scripts if "${{" in script] == []


def test_a_pull_request_is_previewed_on_both_stacks_and_a_fork_is_told_why_not() -> None:
    found = jobs("preview.yml")
    assert found["preview"]["strategy"]["matrix"]["stack"] == ["dev", "prod"]
    assert "head.repo.full_name == github.repository" in found["preview"]["if"]
    assert "head.repo.full_name != github.repository" in found["without"]["if"]
    assert "permissions" not in found["without"]


def test_prod_comes_after_dev_and_dev_after_the_tests() -> None:
    found = jobs("deploy.yml")
    assert (found["dev"]["needs"], found["prod"]["needs"]) == ("test", "dev")
    assert (found["dev"]["environment"], found["prod"]["environment"]) == ("dev", "prod")


def test_the_command_of_pulumi_is_as_old_as_its_library() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    library = next(each["version"] for each in lock["package"] if each["name"] == "pulumi")
    (action,) = ACTIONS
    given = [
        step["with"]["pulumi-version"] for step in loaded(action)["runs"]["steps"] if "pulumi/" in step.get("uses", "")
    ]
    assert given == [library]


def test_both_ways_to_install_uv_are_one() -> None:
    found = re.search(r"^UV_FROM_PIP='(.*)'$", (ROOT / ".ci" / "set-up").read_text("utf-8"), re.MULTILINE)
    assert found
    assert f"'{found[1]}'" in ACTIONS[0].read_text("utf-8")
