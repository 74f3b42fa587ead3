"""What functions are given fits into what AWS takes, however many agents there are, or nothing is made."""

import json
from functools import cache
from typing import Any

import msgspec
import pytest
from recorded_stack import ACCOUNT, Recorded, dev, prod, recorded, stack_file

from functions.events.event import Event
from functions.runtime.agent import agent
from functions.runtime.topology import topology
from functions.runtime.workflow import Workflow
from functions.workflows.catalog import WORKFLOWS
from infra.aws.limits import ENVIRONMENT, POLICY
from infra.aws.sizes import TooLargeError, environment_size, weights
from infra.components.common import Common
from infra.naming import Names
from infra.settings import Settings, VectorSettings

SETTINGS = Settings(
    workflows=("chain",),
    vectors=VectorSettings(kind="url", url="https://vectors.example"),
    secrets={"api-keys": "keys", "vectors": "vectors"},
)
_EVENT: Any = type(Event)  # what makes a class of events


def chain(agents: int, called: str = "step_number") -> Workflow:
    """A workflow of so many agents, one after the other."""
    events = [_EVENT(f"Step{number}", (Event,), {"__module__": __name__}) for number in range(agents + 1)]

    def step(number: int) -> Any:  # noqa: ANN401 - an agent
        def act(event):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - annotated below
            return events[number + 1](event)

        act.__name__ = f"{called}_{number}"
        act.__annotations__ = {"event": events[number], "return": events[number + 1]}
        return agent()(act)

    steps = tuple(step(number) for number in range(agents))
    return Workflow(name="chain", agents=steps, entry=events[0], answer=events[-1], max_hops=agents + 1)


def given(found: Recorded) -> dict[str, tuple[int, int]]:
    """How large the policy and the environment of each function are."""
    return {
        each.name: (
            len(json.dumps(json.loads(found.one("RolePolicy", each.name).inputs["policy"]), separators=(",", ":"))),
            environment_size(each.inputs["environment"]["variables"]),
        )
        for each in found.of("Function")
    }


@cache
def large() -> Recorded:
    return recorded(SETTINGS, workflows=[chain(200)])


def test_what_functions_of_two_hundred_agents_are_given_is_taken() -> None:
    sizes = given(large())
    assert len(sizes) > 200
    assert [name for name, (policy, told) in sizes.items() if policy > POLICY or told > ENVIRONMENT] == []


def test_what_a_function_is_told_does_not_grow_with_the_agents() -> None:
    few, many = given(recorded(SETTINGS, workflows=[chain(2)])), given(large())
    assert {name: few[name][1] for name in ("api", "sweeper", "desk")} == {
        name: many[name][1] for name in ("api", "sweeper", "desk")
    }


@pytest.mark.parametrize("stack", ["dev", "prod"])
def test_nothing_is_larger_than_it_was_expected_to_be(stack: str) -> None:
    common = Common(names=Names("troupe", stack), account=ACCOUNT, region="eu-central-1", protect=False)
    expected = weights(stack_file(stack), common, list(topology(*WORKFLOWS.values()).values()))
    sizes = given({"dev": dev, "prod": prod}[stack]())
    assert expected.keys() == sizes.keys()
    for name, (_, told) in sizes.items():  # ARNs are made up here, so that policies are compared with less
        assert told <= expected[name].environment + 100, name


def test_more_than_aws_takes_is_said_before_anything_is_made() -> None:
    with pytest.raises(
        TooLargeError, match=r"the policy of sweeper has 1\d,\d{3} characters, and AWS takes 10,240; .*socket"
    ):
        recorded(SETTINGS, workflows=[chain(400, called="long_named_agent")])


def test_settings_that_are_too_long_for_an_environment_are_said() -> None:
    long = msgspec.structs.replace(SETTINGS, secrets={**SETTINGS.secrets, "model": "x" * 500, "personal": "y" * 500})
    with pytest.raises(TooLargeError, match="the environment of step_number_0 has"):
        recorded(msgspec.structs.replace(long, actions="z" * 4000), workflows=[chain(1)])
