"""What a service may do on AWS is listed with what it does that for, and is no more than that."""

from collections.abc import Iterator

import pytest

from functions.runtime.topology import topology
from functions.runtime.workflow import Plan
from functions.workflows.catalog import WORKFLOWS
from infra.aws.grants import REMOVES, Place, Statement
from infra.aws.limits import POLICY
from infra.aws.service_grants import IN_NETWORK, SERVICES, service, services
from infra.aws.sizes import policy_size

PLANS: list[Plan] = list(topology(*WORKFLOWS.values()).values())
AGENTS = sorted({name for plan in PLANS for name in plan.nodes})
SQS, LOGS = "arn:aws:sqs:eu-central-1:123456789012", "arn:aws:logs:eu-central-1:123456789012:log-group:/aws/lambda"
SOCKET = "arn:aws:execute-api:eu-central-1:123456789012:abcdef/live"


def place(**changes: object) -> Place:
    given = {
        "bus": "arn:aws:events:eu-central-1:123456789012:event-bus/troupe-dev",
        "source": "troupe-dev",
        "table": "arn:aws:dynamodb:eu-central-1:123456789012:table/troupe-dev",
        "bucket": "arn:aws:s3:::troupe-dev-123456",
        "queues": {name: f"{SQS}:troupe-dev-{name}" for name in (*AGENTS, "desk", "pusher", "uploads")},
        "logs": {name: f"{LOGS}/troupe-dev-{name}" for name in (*AGENTS, *SERVICES)},
        "secrets": {
            name: f"arn:aws:secretsmanager:eu-central-1:123456789012:secret:{name}"
            for name in ("vectors", "model", "actions", "personal", "api-keys")
        },
        "keys": ("arn:aws:kms:eu-central-1:123456789012:key/1",),
        "in_network": True,
        "nets": f"{SQS}:troupe-dev-*-dead",
        "socket": SOCKET,
    }
    return Place(**given | changes)  # type: ignore[arg-type]


def allowed(name: str, **changes: object) -> dict[str, Statement]:
    return {each.sid: each for each in service(name, PLANS, place(**changes))}


def emitted(name: str) -> Iterator[tuple[str, str]]:
    """The source and the type of what a service may put on the bus."""
    for each in allowed(name).values():
        if each.actions == ("events:PutEvents",):
            said = each.conditions["StringEquals"]
            assert each.conditions["Null"] == {"events:detail-type": "false", "events:source": "false"}
            yield from ((str(said["events:source"]), kind) for kind in said["events:detail-type"])


def partitions(statement: Statement) -> set[str]:
    """Those that it reaches; with a `not ` before each where it reaches all others."""
    excluded = statement.conditions.get("ForAllValues:StringNotLike", {}).get("dynamodb:LeadingKeys", ())
    reached = statement.conditions.get("ForAllValues:StringLike", {}).get("dynamodb:LeadingKeys", ())
    return {*reached, *(f"not {each}" for each in excluded)}


@pytest.mark.parametrize("name", SERVICES)
def test_no_action_of_a_service_has_a_wildcard_and_every_wildcard_of_a_resource_has_a_reason(name: str) -> None:
    for each in service(name, PLANS, place()):
        assert not [action for action in each.actions if "*" in action]
        assert bool(each.wildcard) == any("*" in resource for resource in each.resources), each.sid
        assert each.because


@pytest.mark.parametrize("name", SERVICES)
def test_no_statement_of_a_service_takes_the_place_of_another(name: str) -> None:
    sids = [each.sid for each in service(name, PLANS, place())]
    assert len(sids) == len(set(sids))


@pytest.mark.parametrize("name", SERVICES)
def test_a_policy_of_a_service_fits_into_its_role(name: str) -> None:
    assert policy_size(service(name, PLANS, place())) < POLICY


@pytest.mark.parametrize("name", SERVICES)
def test_no_service_reads_items_without_their_partition_but_the_index_of_what_is_due(name: str) -> None:
    for each in service(name, PLANS, place()):
        actions = {action for action in each.actions if action.startswith("dynamodb:")}
        assert "dynamodb:Scan" not in actions
        if actions and each.sid == "Due":
            assert each.resources == (f"{place().table}/index/by_due",)
        elif actions:
            assert each.conditions["Null"] == {"dynamodb:LeadingKeys": "false"}
            assert partitions(each)
            assert "*" not in partitions(each)


@pytest.mark.parametrize("name", ["api", "socket"])
def test_who_takes_messages_emits_entry_events_alone(name: str) -> None:
    assert set(emitted(name)) == {
        ("troupe-dev.answer", "UserMessage.v1"),
        ("troupe-dev.research", "UserMessage.v1"),
        ("troupe-dev.ingest", "DocumentsReceived.v1"),
    }


def test_who_takes_documents_emits_their_entry_event_alone() -> None:
    assert set(emitted("uploads")) == {("troupe-dev.ingest", "DocumentsReceived.v1")}


def test_who_tells_and_who_lets_in_emit_nothing() -> None:
    for name in ("pusher", "authorizer", "keeper"):
        assert not list(emitted(name))


def test_only_who_starts_redrives_emits_what_agents_make_and_for_the_workflows_of_the_stack() -> None:
    sources = tuple(f"troupe-dev.{plan.workflow.name}" for plan in sorted(PLANS, key=lambda plan: plan.workflow.name))
    for name in SERVICES:
        found = [each for each in allowed(name).values() if each.sid == "Emit"]
        assert bool(found) == (name in {"desk", "sweeper"})
        for each in found:
            assert each.conditions == {"StringEquals": {"events:source": sources}, "Null": {"events:source": "false"}}


def test_the_authorizer_reads_one_secret_and_logs() -> None:
    found = allowed("authorizer", keys=())
    assert found.keys() == {"SecretApiKeys", "Log"}
    assert found["SecretApiKeys"].resources == (place().secrets["api-keys"],)


def test_nets_are_emptied_by_the_sweeper_alone() -> None:
    nets = place().nets
    assert allowed("sweeper")["Nets"].resources == (nets,)
    for name in set(SERVICES) - {"sweeper"}:
        assert not [each for each in allowed(name).values() if nets in each.resources]


def test_connections_are_posted_to_on_the_one_api() -> None:
    for name in SERVICES:
        found = [each for each in allowed(name).values() if "execute-api:ManageConnections" in each.actions]
        assert [each.resources for each in found] == ([(f"{SOCKET}/POST/@connections/*",)] if found else [])
        assert bool(found) == (name in {"socket", "pusher", "sweeper"})


def test_a_stack_without_a_web_socket_has_nobody_who_answers_one() -> None:
    assert set(SERVICES) - services(PLANS, place(socket="")).keys() == {"socket", "pusher"}


def test_items_are_removed_by_who_erases_and_connections_by_who_has_them() -> None:
    removed = {
        name: {partition.partition("#")[0] for partition in partitions(each)}
        for name in SERVICES
        for each in allowed(name, socket=SOCKET if name in {"socket", "pusher"} else "").values()
        if REMOVES in each.actions
    }
    assert removed.pop("socket") == removed.pop("pusher") == {"socket"}
    held = {"not collection", "not document", "not socket"}
    assert removed.pop("sweeper") == {
        *AGENTS,
        "bus",
        "desk",
        "pusher",
        "uploads",
    }  # how a delivery stood whose request was erased
    assert removed == {"api": held, "keeper": held}


def test_only_who_reaches_a_vector_store_stands_in_the_network() -> None:
    assert {name for name in SERVICES if "Network" in allowed(name)} == set(IN_NETWORK)
    assert {name for name in SERVICES if "SecretVectors" in allowed(name)} == set(IN_NETWORK)


def test_documents_are_read_by_who_takes_them_in_and_nobody_else() -> None:
    documents = f"{place().bucket}/documents/*"
    reads = {name for name in SERVICES if any(documents in each.resources for each in allowed(name).values())}
    assert reads == {"uploads"}


def test_the_desk_lets_joins_await_what_it_starts_again_and_writes_nothing_else_of_an_agent() -> None:
    found = allowed("desk")["Await"]
    assert found.actions == ("dynamodb:PutItem",)
    closers = {closer for plan in PLANS for closer in plan.closers.values()}
    assert partitions(found) == {f"{closer}#*" for closer in closers}
    assert "Letters" not in allowed("desk")
