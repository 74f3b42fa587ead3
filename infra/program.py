"""What `pulumi up` makes of a stack, from its settings and the workflows that they choose.

Order comes from what one component hands to the next.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import pulumi

from functions.errors import TroupeError
from functions.runtime.topology import topology
from functions.runtime.workflow import Plan
from functions.workflows.catalog import WORKFLOWS
from infra import called, environment, prices
from infra.aws.agent_function import AgentFunction
from infra.aws.alarms import Alarms
from infra.aws.api import Api, SocketAddress
from infra.aws.blob_store import BlobStore
from infra.aws.code import Code
from infra.aws.dead_letters import DeadLetters
from infra.aws.encryption import Encryption
from infra.aws.endpoints import interface_endpoints
from infra.aws.event_bus import EventBus
from infra.aws.event_route import EventRoute
from infra.aws.ingest import Ingest
from infra.aws.models import model_arns
from infra.aws.network import Network
from infra.aws.schedule import Schedule
from infra.aws.secret_reference import secret_references
from infra.aws.service_function import ServiceFunction
from infra.aws.sizes import check
from infra.aws.stack import Stack
from infra.aws.state_store import StateStore
from infra.aws.vector_collection import VectorCollection
from infra.aws.vector_server import VectorServer
from infra.bundle import bundles, lambda_target
from infra.bundling.bundles import Bundle
from infra.components.agent_function import agent_function_args
from infra.components.alarms import AlarmsArgs
from infra.components.api import ApiArgs, SocketAddressArgs
from infra.components.blob_store import BlobStoreArgs
from infra.components.code import CodeArgs
from infra.components.common import Common, Platform
from infra.components.dead_letters import DeadLettersArgs
from infra.components.encryption import EncryptionArgs
from infra.components.event_bus import EventBusArgs
from infra.components.event_route import routes
from infra.components.function import Function, FunctionArgs, Surroundings
from infra.components.ingest import IngestArgs
from infra.components.network import NetworkArgs
from infra.components.schedule import ScheduleArgs
from infra.components.secret_reference import SecretReferencesArgs
from infra.components.service_function import deployed_services, warm_of
from infra.components.stack import StackArgs
from infra.components.state_store import StateStoreArgs
from infra.components.vector_collection import VectorCollectionArgs
from infra.components.vector_server import VectorServerArgs
from infra.naming import Names
from infra.reading import settings
from infra.settings import AgentSettings, Settings

#: How often the keeper does what. A server that starts with the first deploy is not ready when that calls the keeper.
KEPT: Final = {"ensure": "10 minutes", "erase": "10 minutes", "expire": "1 hour"}


def deploy() -> None:
    """The stack that is selected.

    Raises:
        RunError: With everything that is wrong with its settings, its workflows or its references.
    """
    try:
        chosen = settings(pulumi.Config("troupe"))
        plans = topology(*(WORKFLOWS[name] for name in chosen.workflows))
        names = Names(project=pulumi.get_project(), stack=pulumi.get_stack())
        made = dict(bundles(list(plans.values()), chosen, lambda_target(chosen)).named())
        outputs = declare(chosen, names, list(plans.values()), made)
    except TroupeError as error:
        raise pulumi.RunError(str(error)) from error
    for name, value in outputs.items():
        pulumi.export(name, value)
    pulumi.info(prices.told(chosen, plans))


@dataclass(frozen=True, kw_only=True)
class _Given:
    """What every function of the stack is made with."""

    common: Common
    platform: Platform
    around: Surroundings
    code: Code
    inside: pulumi.ResourceOptions


def declare(
    chosen: Settings, names: Names, plans: list[Plan], bundled: Mapping[str, Bundle]
) -> dict[str, pulumi.Output[str]]:
    """Every resource of a stack; what it returns are its outputs."""
    stack = Stack(names.prefix, _stack(chosen, names))
    inside = pulumi.ResourceOptions(parent=stack)
    check(chosen, stack.common, plans)
    common = replace(stack.common, key=_key(chosen, stack.common, inside))

    # where functions stand, and what they work with
    network = _network(chosen, common, inside)
    address = _address(chosen, common, inside)
    around = _surroundings(chosen, plans, common, inside)
    server = _server(chosen, common, network, around, inside)

    # the functions
    given = _Given(
        common=common,
        platform=_platform(chosen, network),
        around=_reaching(around, address, server),
        code=Code("code", _code(chosen, common, around, bundled), inside),
        inside=inside,
    )
    agents = _agents(chosen, given)
    services = _services(chosen, given)

    # what calls them
    _kept(given, services["keeper"], server)
    if "uploads" in services:
        Ingest("ingest", IngestArgs(blobs=around.blobs, route=around.routes["uploads"]), inside)
    api = _api(chosen, given, services, address)
    _alarms(chosen, given, {**agents, **services})

    found = {"api": api.url, "bus": around.bus.name, "table": around.state.name, "bucket": around.blobs.name}
    return found | ({"websocket": address.public} if address else {})


def _surroundings(chosen: Settings, plans: list[Plan], common: Common, inside: pulumi.ResourceOptions) -> Surroundings:
    """Bus, data, routes and secrets."""
    bus = EventBus("events", EventBusArgs(common=common), inside)
    blobs = BlobStore("blobs", BlobStoreArgs(common=common, plans=plans), inside)
    ways = routes(chosen, common, bus, blobs, plans)
    return Surroundings(
        plans=plans,
        bus=bus,
        state=StateStore("state", StateStoreArgs(common=common), inside),
        blobs=blobs,
        routes={args.consumer: EventRoute(args.consumer, args, inside) for args in ways},
        secrets=secret_references(
            SecretReferencesArgs(common=common, references=chosen.secrets), pulumi.InvokeOptions(parent=inside.parent)
        ),
        models=model_arns(chosen.model, common),
        settings=environment.told(chosen),
        collections=environment.declared(chosen, plans),
        contract=environment.contract(chosen),
        budget_tokens=chosen.budget.tokens_per_request,
        budget_micros=environment.micros(chosen.budget.usd_per_request),
        tenant_claim=chosen.api.tenant_claim,
    )


def _reaching(around: Surroundings, address: SocketAddress | None, server: VectorServer | None) -> Surroundings:
    """With the WebSocket and the vector server, where the stack has them."""
    around = replace(around, socket=address)
    if server is None:
        return around
    return replace(
        around,
        secrets={**around.secrets, "vectors": server.key},
        settings={**around.settings, environment.VECTOR_URL: server.url},
    )


def _code(chosen: Settings, common: Common, around: Surroundings, bundled: Mapping[str, Bundle]) -> CodeArgs:
    return CodeArgs(
        common=common,
        blobs=around.blobs,
        bundles=bundled,
        runtime=chosen.runtime,
        architecture=chosen.architecture,
    )


def _agents(chosen: Settings, given: _Given) -> dict[str, AgentFunction]:
    specs = {name: node.spec for plan in given.around.plans for name, node in plan.nodes.items()}
    return {
        name: AgentFunction(
            name,
            agent_function_args(
                spec,
                chosen.agents.get(name, AgentSettings()),
                common=given.common,
                platform=given.platform,
                surroundings=given.around,
                code=given.code.functions[name],
            ),
            given.inside,
        )
        for name, spec in specs.items()
    }


def _services(chosen: Settings, given: _Given) -> dict[str, ServiceFunction]:
    args = {
        name: FunctionArgs(
            common=given.common,
            platform=given.platform,
            surroundings=given.around,
            function=name,
            code=given.code.functions[name],
            warm=warm_of(name, chosen),
        )
        for name in deployed_services(chosen)
    }
    swept = DeadLetters("dead-letters", DeadLettersArgs(sweeper=args.pop("sweeper")), given.inside)
    return {name: ServiceFunction(name, each, given.inside) for name, each in args.items()} | {"sweeper": swept.sweeper}


def _kept(given: _Given, keeper: ServiceFunction, server: VectorServer | None) -> None:
    """What the keeper is called for: on its schedules, and by this deploy for each collection."""
    for done, every in KEPT.items():
        called, says = f"keeper-{done}", f'{{"do": "{done}"}}'
        often = ScheduleArgs(common=given.common, called=called, function=keeper, every=every, says=says)
        Schedule(called, often, given.inside)
    for name, collection in given.around.collections.items():
        ready = (keeper, *([server] if server else []))
        args = VectorCollectionArgs(collection=name, declared=collection, keeper=keeper, after=ready)
        VectorCollection(name, args, given.inside)


def _api(
    chosen: Settings, given: _Given, services: Mapping[str, ServiceFunction], address: SocketAddress | None
) -> Api:
    args = ApiArgs(
        common=given.common,
        settings=chosen.api,
        api=services["api"],
        authorizer=services.get("authorizer"),
        address=address,
        socket=services.get("socket"),
        log_retention_days=chosen.log_retention_days,
    )
    return Api("api", args, given.inside)


def _alarms(chosen: Settings, given: _Given, functions: Mapping[str, Function]) -> None:
    if chosen.alarms is None:
        return
    args = AlarmsArgs(
        common=given.common,
        settings=chosen.alarms,
        bus=given.around.bus,
        routes=given.around.routes,
        functions=functions,
        usd_per_month=chosen.budget.usd_per_month,
    )
    Alarms("alarms", args, given.inside)


def _stack(chosen: Settings, names: Names) -> StackArgs:
    return StackArgs(
        names=names,
        region=chosen.region,
        workflows=chosen.workflows,
        cost_centre=chosen.cost_centre,
        protect=chosen.protect,
        permissions_boundary=chosen.permissions_boundary,
    )


def _key(chosen: Settings, common: Common, inside: pulumi.ResourceOptions) -> pulumi.Input[str] | None:
    """The key that encrypts: the stack's own, somebody's, or the cloud's."""
    if chosen.encryption == "stack":
        return Encryption("key", EncryptionArgs(common=common), inside).key
    return None if chosen.encryption == "aws" else chosen.encryption


def _network(chosen: Settings, common: Common, inside: pulumi.ResourceOptions) -> Network | None:
    if not chosen.network.vpc:
        return None
    args = NetworkArgs(
        common=common, settings=chosen.network, services=interface_endpoints(chosen), ports=called.ports(chosen)
    )
    return Network("network", args, inside)


def _address(chosen: Settings, common: Common, inside: pulumi.ResourceOptions) -> SocketAddress | None:
    if not chosen.api.websocket:
        return None
    return SocketAddress("socket", SocketAddressArgs(common=common, settings=chosen.api), inside)


def _server(
    chosen: Settings, common: Common, network: Network | None, around: Surroundings, inside: pulumi.ResourceOptions
) -> VectorServer | None:
    if chosen.vectors.kind != "self-hosted" or network is None:
        return None
    args = VectorServerArgs(
        common=common,
        settings=chosen.vectors,
        network=network,
        blobs=around.blobs,
        key=around.secrets.get("vectors"),
    )
    return VectorServer("vectors", args, inside)


def _platform(chosen: Settings, network: Network | None) -> Platform:
    return Platform(
        runtime=chosen.runtime,
        architecture=chosen.architecture,
        log_level=chosen.log_level,
        log_retention_days=chosen.log_retention_days,
        canary_percent=chosen.canary.percent,
        subnets=network.subnets if network else (),
        security_groups=(network.functions,) if network else (),
    )
