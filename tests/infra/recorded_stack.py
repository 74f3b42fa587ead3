"""A whole stack, declared on Pulumi's mocks: what the program registers, as the engine would be asked for it."""

import asyncio
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final
from unittest import mock

import grpc  # type: ignore[import-untyped]
import pulumi
import yaml  # type: ignore[import-untyped]
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.stack import wait_for_rpcs
from pulumi.runtime.sync_await import _sync_await

from functions.runtime.topology import topology
from functions.runtime.workflow import Plan, Workflow
from functions.workflows.catalog import WORKFLOWS
from infra.bundling.bundles import Bundle, Zip
from infra.components.service_function import deployed_services
from infra.naming import Names
from infra.reading import read
from infra.settings import Settings

with warnings.catch_warnings():  # modules of the provider that it replaced by others say so whenever it is loaded
    warnings.simplefilter("ignore", DeprecationWarning)
    from infra.program import declare

ROOT: Final = Path(__file__).parents[2]
ACCOUNT: Final = "123456789012"
ARN: Final = f"arn:aws:any:eu-central-1:{ACCOUNT}:"
#: Where a resource's ARN is not simply made of its type and name.
ARNS: Final = {
    "aws:s3/bucket:Bucket": "arn:aws:s3:::{name}",
    "aws:lambda/alias:Alias": f"{ARN}function:{{function}}:{{name}}",
}


@dataclass(frozen=True)
class Registered:
    """A resource as it was asked for.

    Attributes:
        kind: Its type, e.g. `aws:sqs/queue:Queue`.
        parent: The URN of its parent.
        after: URNs of what it depends on, by an output or because it says so.
    """

    urn: str
    kind: str
    name: str
    inputs: dict[str, Any]
    parent: str
    provider: str
    custom: bool
    protect: bool
    kept: bool
    ignored: tuple[str, ...]
    after: frozenset[str]
    told: dict[str, frozenset[str]]


@dataclass
class Recorded:
    """What a program registered, what it asked, and which components said that they were done."""

    registered: list[Registered] = field(default_factory=list)
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    outputs: dict[str, Any] = field(default_factory=dict)

    def of(self, kind: str) -> list[Registered]:
        """Those whose type ends so, e.g. `Queue`; components are none of them."""
        return [each for each in self.registered if each.custom and each.kind.rpartition(":")[2] == kind]

    def asked_for(self) -> dict[str, tuple[Any, ...]]:
        """What each resource is, by its URN: two stacks are compared by it."""
        return {each.urn: (_plain(each.inputs), each.protect, each.kept) for each in self.registered}

    def one(self, kind: str, name: str) -> Registered:
        """The one of this type and name."""
        (found,) = [each for each in self.of(kind) if each.name == name]
        return found


def _plain(value: object) -> object:
    """With what a file is instead of an object that stands for it."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return getattr(value, "path", None) or getattr(value, "uri", None) or value


class _RefusedError(grpc.RpcError):  # type: ignore[misc]
    """What the engine answers where its provider raises."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._name = name

    def code(self) -> grpc.StatusCode:
        return grpc.StatusCode.UNKNOWN

    def details(self) -> str:
        return f"reading {self._name}: couldn't find resource"


class _Answers(Mocks):
    """What AWS would answer, as far as the program reads it."""

    def __init__(self, versions: dict[str, str], missing: frozenset[str]) -> None:
        self.recorded = Recorded()
        self.versions = versions
        self.missing = missing

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        known = args.inputs
        name = known.get("name") or known.get("bucket") or args.name
        made = ARNS.get(args.typ, f"{ARN}{args.typ.rpartition(':')[2]}/{{name}}")
        arn = made.format(name=name, function=known.get("functionName"))
        given = {
            "name": name,
            "arn": arn,
            "url": f"https://sqs.eu-central-1.amazonaws.com/{ACCOUNT}/{name}",
            "version": "7",
            "invokeArn": f"invoke:{arn}",
            "executionArn": f"arn:aws:execute-api:eu-central-1:{ACCOUNT}:{args.name}",
            "invokeUrl": f"wss://{args.name}.example/{name}" if name == "live" else f"https://{args.name}.example",
            "keyId": f"{args.name}-key",
            "privateIp": "10.20.0.10",
        }
        return f"{args.name}-id", given | known

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]] | None]:
        self.recorded.asked.append((args.token, args.args))
        answers: dict[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
            "getCallerIdentity": lambda _: {"accountId": ACCOUNT},
            "getAvailabilityZones": lambda _: {"names": ["eu-central-1c", "eu-central-1a", "eu-central-1b"]},
            "getSecret": self._secret,
            "getInstanceType": lambda _: {"supportedArchitectures": ["arm64"], "hypervisor": "nitro"},
            "getParameter": lambda _: {"value": "ami-1"},
            "getFunctions": lambda _: {"functionNames": sorted(self.versions)},
            "getAlias": self._alias,
        }
        return answers[args.token.rpartition(":")[2]](args.args), []

    def _alias(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked["functionName"] in self.missing:
            raise _RefusedError(asked["functionName"])
        return {"functionVersion": self.versions[asked["functionName"]]}

    def _secret(self, asked: dict[str, Any]) -> dict[str, Any]:
        if asked.get("name") in self.missing:
            raise _RefusedError(asked["name"])
        return {"arn": asked.get("arn") or f"{ARN}secret:{asked['name']}-AbCdEf"}


class _Monitor(MockMonitor):
    """Keeps what the mocks are not told: parents, dependencies, protection, and who called `register_outputs`."""

    mocks: _Answers

    def RegisterResource(self, request: Any) -> Any:  # noqa: ANN401, N802 - as the SDK names and types it
        if not request.type.startswith("pulumi:pulumi:"):
            self._transform(request)
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call]
        if not request.type.startswith("pulumi:pulumi:"):
            self.mocks.recorded.registered.append(
                Registered(
                    urn=answer.urn,
                    kind=request.type,
                    name=request.name,
                    inputs=rpc.deserialize_properties(request.object),
                    parent=request.parent,
                    provider=request.provider,
                    custom=request.custom,
                    protect=request.protect,
                    kept=request.retainOnDelete,
                    ignored=tuple(request.ignoreChanges),
                    after=frozenset(request.dependencies),
                    told={key: frozenset(each.urns) for key, each in request.propertyDependencies.items()},
                )
            )
        return answer

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: ANN401, N802 - as the SDK names and types it
        self.mocks.recorded.done.add(request.urn)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call]

    def _transform(self, request: Any) -> None:  # noqa: ANN401 - as the SDK types it
        """What the engine does with transforms of the stack."""
        for transform in self._stack_transforms:
            props = rpc.deserialize_properties(request.object)
            args = pulumi.ResourceTransformArgs(
                custom=request.custom,
                type_=request.type,
                name=request.name,
                props=props,
                opts=pulumi.ResourceOptions(),
            )
            changed = transform(args)
            if isinstance(changed, pulumi.ResourceTransformResult):
                request.object.CopyFrom(_sync_await(rpc.serialize_properties(dict(changed.props), {})))


def bundled(plans: Sequence[Plan], settings: Settings) -> dict[str, Bundle]:
    """Bundles that are only named: agents share a zip, as agents that need the same do, and a layer."""
    code, layer = (Zip(file=name, sha256=2 * f"{number:032x}", size=1, parts={}) for number, name in enumerate("cl"))
    agents = {name for plan in plans for name in plan.nodes}
    return {
        name: Bundle(handler=f"{name}.handler", code=code, layers=(layer,) if name in agents else ())
        for name in (*sorted(agents), *deployed_services(settings))
    }


def recorded(  # noqa: PLR0913 - what a test may change of a stack
    settings: Settings,
    *,
    stack: str = "dev",
    workflows: Sequence[Workflow] = tuple(WORKFLOWS.values()),
    versions: dict[str, str] | None = None,
    missing: frozenset[str] = frozenset(),
    before: Callable[[], None] = lambda: None,
) -> Recorded:
    """What the program registers.

    Args:
        settings: Of the stack.
        stack: Its name.
        workflows: Where the test has its own.
        versions: Which version the alias of each function points at that was deployed before.
        missing: Names of secrets that are not there, and of functions that are there without their alias.
        before: Called once Pulumi is there.
    """
    answers = _Answers(versions or {}, missing)
    chosen = [each for each in workflows if each.name in settings.workflows]
    plans = list(topology(*chosen).values())

    async def run() -> None:
        set_mocks(answers, project="troupe", stack=stack, preview=False, monitor=_Monitor(answers))
        before()
        try:
            outputs = declare(settings, Names(project="troupe", stack=stack), plans, bundled(plans, settings))
        finally:
            await wait_for_rpcs()
        answers.recorded.outputs = {name: await value.future() for name, value in outputs.items()}

    with _loops_closed(), ThreadPoolExecutor(1) as aside:  # the event loop of this thread stays as it is
        aside.submit(asyncio.run, run()).result()
    return answers.recorded


@contextmanager
def _loops_closed() -> Iterator[None]:
    """Pulumi makes an event loop for each of its threads, and leaves them open once the threads are gone."""
    made, make = [], asyncio.new_event_loop

    def kept() -> asyncio.AbstractEventLoop:
        made.append(make())
        return made[-1]

    try:
        with mock.patch.object(asyncio, "new_event_loop", kept):
            yield
    finally:
        for loop in made:
            loop.close()


def stack_file(stack: str) -> Settings:
    """The settings in a stack file of the project."""
    given = yaml.safe_load((ROOT / f"Pulumi.{stack}.yaml").read_text())["config"]
    values = {key.removeprefix("troupe:"): value for key, value in given.items()}
    return read(values, Names(project="troupe", stack=stack))


@cache
def dev() -> Recorded:
    """All of the development stack."""
    return recorded(stack_file("dev"))


@cache
def prod() -> Recorded:
    """All of the production stack."""
    return recorded(stack_file("prod"), stack="prod")
