"""What a function may do on AWS follows from its agent's signature, and is no more than that."""

import json
from fnmatch import fnmatchcase
from typing import Annotated

import pytest

from functions.adapters.aws.blobs import TEXTS
from functions.adapters.items import keys
from functions.events.answer import PlanCreated, QuestionAsked
from functions.ports.actions import Invoke
from functions.ports.capability import CAPABILITIES
from functions.ports.conversations import Append
from functions.ports.documents import Ingest
from functions.ports.personal import Reveal
from functions.ports.vectors import Lookup, Remove, Search, Upsert
from functions.runtime.agent import Grant, agent
from functions.runtime.topology import SHARED_ITEMS, topology
from functions.runtime.workflow import Plan
from functions.workflows.catalog import WORKFLOWS
from infra.aws import grants
from infra.aws.grants import Place, Statement, policy, statements

PLANS: list[Plan] = list(topology(*WORKFLOWS.values()).values())
AGENTS = sorted({name for plan in PLANS for name in plan.nodes})
ACCOUNT = "arn:aws:sqs:eu-central-1:123456789012"
MOST_CHARACTERS = 10_240  # of all policies inside a role together, without white space


def place(**changes: object) -> Place:
    given = {
        "bus": "arn:aws:events:eu-central-1:123456789012:event-bus/troupe-dev",
        "source": "troupe-dev",
        "table": "arn:aws:dynamodb:eu-central-1:123456789012:table/troupe-dev",
        "bucket": "arn:aws:s3:::troupe-dev-123456",
        "queues": {name: f"{ACCOUNT}:troupe-dev-{name}" for name in AGENTS},
        "logs": {name: f"arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda/{name}" for name in AGENTS},
        "secrets": {
            name: f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}"
            for name in ("vectors", "model", "actions", "personal")
        },
        "models": ("arn:aws:bedrock:eu-central-1::foundation-model/some",),
        "keys": ("arn:aws:kms:eu-central-1:123456789012:key/1",),
        "in_network": True,
    }
    return Place(**given | changes)  # type: ignore[arg-type]


def allowed(name: str, **changes: object) -> dict[str, Statement]:
    return {each.sid: each for each in statements(name, PLANS, place(**changes))}


def test_every_capability_is_mapped() -> None:
    assert grants._GRANTED.keys() == CAPABILITIES.keys()


@pytest.mark.parametrize("name", AGENTS)
def test_no_action_has_a_wildcard_and_every_wildcard_of_a_resource_has_a_reason(name: str) -> None:
    for each in statements(name, PLANS, place()):
        assert not [action for action in each.actions if "*" in action]
        assert bool(each.wildcard) == any("*" in resource for resource in each.resources), each.sid
        assert each.because


@pytest.mark.parametrize("name", AGENTS)
def test_a_function_receives_from_its_own_queue_and_logs_to_its_own_group(name: str) -> None:
    found = allowed(name)
    assert found["Receive"].resources == (f"{ACCOUNT}:troupe-dev-{name}",)
    assert found["Log"].resources[0].endswith(f"/aws/lambda/{name}:*")


@pytest.mark.parametrize("name", AGENTS)
def test_a_function_emits_what_its_agent_returns_and_how_it_ended(name: str) -> None:
    spec = next(plan.nodes[name].spec for plan in PLANS if name in plan.nodes)
    returned = {f"{event.__name__}.v{event.version}" for event in (*spec.emits, *spec.fans_out)}
    condition = allowed(name)["Emit"].conditions
    assert set(condition["StringEquals"]["events:detail-type"]) == returned | {"AgentFailed.v1", "PartEnded.v1"}
    assert condition["Null"] == {"events:detail-type": "false", "events:source": "false"}


def test_a_function_emits_for_its_own_workflows_only() -> None:
    assert allowed("retriever")["Emit"].conditions["StringEquals"]["events:source"] == ("troupe-dev.answer",)
    both = ("troupe-dev.answer", "troupe-dev.research")
    assert allowed("searcher")["Emit"].conditions["StringEquals"]["events:source"] == both


@pytest.mark.parametrize("name", AGENTS)
def test_items_are_its_own_and_what_every_request_shares(name: str) -> None:
    leading = {
        sid: each.conditions["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
        for sid, each in allowed(name).items()
        if any(action.startswith("dynamodb:") for action in each.actions)
    }
    assert leading.pop("OwnItems") == (f"{name}#*",)
    assert leading.pop("Joins", (f"{name}#*",)) == (f"{name}#*",)
    assert leading.pop("Requests") == ("request#*",)
    shared = {prefix.partition("#")[0] for each in leading.values() for prefix in each}
    assert shared <= set(SHARED_ITEMS)
    assert not shared & set(AGENTS)


def test_no_items_can_be_asked_without_their_partition() -> None:
    for name in AGENTS:
        for each in statements(name, PLANS, place()):
            actions = {action for action in each.actions if action.startswith("dynamodb:")}
            assert "dynamodb:Scan" not in actions
            if actions:
                assert each.conditions["Null"] == {"dynamodb:LeadingKeys": "false"}


def test_a_function_reads_the_older_plans_of_its_own_workflows() -> None:
    bucket = place().bucket
    assert allowed("retriever")["OlderPlans"].resources == (f"{bucket}/plans/answer/*",)
    assert set(allowed("searcher")["OlderPlans"].resources) == {
        f"{bucket}/plans/answer/*",
        f"{bucket}/plans/research/*",
    }


def test_whoever_opens_a_scope_may_tell_its_join_later_and_nobody_else() -> None:
    assert allowed("planner")["CloseLater"].resources == (f"{ACCOUNT}:troupe-dev-validator",)
    assert "CloseLater" not in allowed("retriever")


def test_a_conversation_is_written_by_who_appends_and_read_by_who_has_its_history() -> None:
    assert {"Say", "Recall"} <= allowed("orchestrator").keys()
    assert "Recall" not in allowed("response_builder")
    assert not {"Say", "Recall"} & allowed("retriever").keys()


def granted(capability: type, **changes: object) -> dict[str, Statement]:
    grant = Grant(parameter="it", capability=capability, resource="documents", optional=False)
    found = grants._GRANTED[capability](grant, place(**changes))
    return {each.sid: each for each in found if each.resources}


def prefixes(statement: Statement) -> tuple[str, ...]:
    return tuple(statement.conditions["ForAllValues:StringLike"]["dynamodb:LeadingKeys"])


def touched(capability: type, *actions: str) -> set[str]:
    """The partitions in which a capability may do one of these."""
    return {
        prefix
        for each in granted(capability).values()
        if {f"dynamodb:{action}" for action in actions} & set(each.actions)
        for prefix in prefixes(each)
    }


def test_only_who_stores_passages_seals_originals_and_only_who_reveals_opens_them() -> None:
    assert {capability for capability in CAPABILITIES if "vault#*" in touched(capability, "PutItem")} == {
        Ingest,
        Upsert,
    }
    assert {capability for capability in CAPABILITIES if "Originals" in granted(capability)} == {Reveal}
    assert "Seal" not in granted(Upsert, secrets={})


def test_only_who_invokes_actions_writes_effects_and_only_who_ingests_says_what_was_read() -> None:
    for prefix, capability in (("effect#*", Invoke), ("document#documents#*", Ingest)):
        assert [each for each in CAPABILITIES if prefix in touched(each, "PutItem", "BatchWriteItem")] == [capability]


def test_who_uses_a_collection_says_what_it_carries_and_changes_no_entry() -> None:
    for capability in (Ingest, Lookup, Remove, Search, Upsert):
        written = touched(capability, "PutItem", "UpdateItem", "BatchWriteItem")
        assert keys.carriers() in written
        assert keys.entry("store", "documents")[0] not in written


@pytest.mark.parametrize("capability", [Upsert, Invoke])
def test_what_was_erased_meanwhile_can_be_taken_out_where_a_conversation_has_it(capability: type) -> None:
    """The partitions are those that the keys give, whatever the names in them."""
    deleted = touched(capability, "BatchWriteItem")
    names = {
        Upsert: (
            keys.hold("t#1", "c#conversation#2", "documents-1", "p")[0],
            keys.holders("t#1", "documents-1", "p"),
            keys.token_holders("t#1", "[EMAIL-a]"),
        ),
        Invoke: (keys.effect("t#1", "k")[0], keys.asked("t#1", "c", "k")[0]),
    }[capability]
    for name in names:
        assert any(fnmatchcase(name, prefix) for prefix in deleted), name
    for other in (keys.request("t#1", "passage#conversation#token#r")[0], keys.stop("s")[0]):
        assert not any(fnmatchcase(other, prefix) for prefix in deleted), other


def test_texts_are_dropped_by_who_changes_passages_and_listed_by_who_erases_them() -> None:
    dropping = {each for each in CAPABILITIES if "s3:DeleteObject" in actions_of(each)}
    assert dropping == {Ingest, Remove, Upsert}
    for capability in dropping:
        assert granted(capability)["DropTexts"].resources == (f"{place().bucket}/{TEXTS}*",)
    assert {each for each in CAPABILITIES if "s3:ListBucket" in actions_of(each)} == {Upsert}
    listed = granted(Upsert)["ListTexts"]
    assert listed.resources == (place().bucket,)
    assert listed.conditions == {"StringLike": {"s3:prefix": f"{TEXTS}*"}, "Null": {"s3:prefix": "false"}}


def actions_of(capability: type) -> set[str]:
    return {action for each in granted(capability).values() for action in each.actions}


def test_what_a_stack_leaves_out_is_not_granted() -> None:
    found = allowed("planner", models=(), secrets={}, keys=(), in_network=False)
    assert not {"AskModel", "SecretModel", "Decrypt", "Network"} & found.keys()
    assert {"AskModel", "SecretModel", "Decrypt", "Network"} <= allowed("planner").keys()


@pytest.mark.parametrize("name", AGENTS)
def test_a_policy_fits_into_its_role(name: str) -> None:
    assert len(json.dumps(policy(statements(name, PLANS, place())), separators=(",", ":"))) < MOST_CHARACTERS


def test_a_statement_names_the_part_of_the_signature_behind_it() -> None:
    found = allowed("retriever")
    assert found["VersionsDocuments"].because == 'documents: Annotated[Search, "documents"]'
    assert found["Emit"].because == "the return: DocsRetrieved"


def test_one_more_parameter_is_one_more_statement() -> None:
    """What the policy says follows from the signature alone."""

    @agent()
    def one(planned: PlanCreated, *, documents: Annotated[Search, "documents"]) -> QuestionAsked | None: ...

    @agent()
    def two(
        planned: PlanCreated,
        *,
        documents: Annotated[Search, "documents"],
        conversation: Annotated[Append, "conversations"],
    ) -> QuestionAsked | None: ...

    sids = [
        {
            each.sid
            for grant in function.__agent__.grants  # type: ignore[attr-defined]
            for each in grants._GRANTED[grant.capability](grant, place())
        }
        for function in (one, two)
    ]
    assert sids[1] - sids[0] == {"Say"}
