"""A whole stack, declared on Pulumi's mocks: what the program registers, as the engine would be asked for it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import pulumi
from pulumi.runtime import rpc
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.stack import wait_for_rpcs

from functions.runtime.topology import topology
from functions.runtime.workflow import Workflow
from functions.workflows.catalog import WORKFLOWS
from infra.components.common import Bundle
from infra.naming import Names
from infra.program import declare
from infra.settings import Settings

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
        """Those whose type ends so, e.g. `Queue`."""
        return [each for each in self.registered if each.kind.rpartition(":")[2] == kind]

    def one(self, kind: str, name: str) -> Registered:
        """The one of this type and name."""
        (found,) = [each for each in self.of(kind) if each.name == name]
        return found


class _Answers(Mocks):
    """What AWS would answer, as far as the program reads it."""

    def __init__(self, versions: dict[str, str]) -> None:
        self.recorded = Recorded()
        self.versions = versions

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

    def call(self, args: MockCallArgs) -> dict[str, Any]:
        self.recorded.asked.append((args.token, args.args))
        match args.token.rpartition(":")[2]:
            case "getCallerIdentity":
                return {"accountId": ACCOUNT}
            case "getAvailabilityZones":
                return {"names": ["eu-central-1a", "eu-central-1b", "eu-central-1c"]}
            case "getSecret":
                return {"arn": args.args.get("arn") or f"{ARN}secret:{args.args['name']}-AbCdEf"}
            case "getInstanceType":
                return {"supportedArchitectures": ["arm64"]}
            case "getParameter":
                return {"value": "ami-1"}
            case "getFunctions":
                return {"functionNames": sorted(self.versions)}
            case "getAlias":
                return {"functionVersion": self.versions[args.args["functionName"]]}
            case other:
                raise NotImplementedError(other)


class _Monitor(MockMonitor):
    """Keeps what the mocks are not told: parents, dependencies, protection, and who called `register_outputs`."""

    mocks: _Answers

    def RegisterResource(self, request: Any) -> Any:  # noqa: N802 - the name of the call
        answer = super().RegisterResource(request)
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

    def RegisterResourceOutputs(self, request: Any) -> Any:  # noqa: N802
        self.mocks.recorded.done.add(request.urn)
        return super().RegisterResourceOutputs(request)


def bundle(function: str) -> Bundle:
    """A bundle that is only named."""
    archive = pulumi.AssetArchive({"function.txt": pulumi.StringAsset(function)})
    return Bundle(code=archive, digest=f"digest of {function}", handler="entry.handler")


def recorded(
    settings: Settings,
    *,
    workflows: Sequence[Workflow] = tuple(WORKFLOWS.values()),
    versions: dict[str, str] | None = None,
    bundles: Callable[[str], Bundle] = bundle,
    before: Callable[[], None] = lambda: None,
) -> Recorded:
    """What the program registers.

    Args:
        settings: Of the stack.
        workflows: Where the test has its own.
        versions: Which version the alias of each function points at that was deployed before.
        bundles: What code functions get.
        before: Called once Pulumi is there.
    """
    answers = _Answers(versions or {})
    chosen = [each for each in workflows if each.name in settings.workflows]
    plans = list(topology(*chosen).values())

    async def run() -> None:
        set_mocks(answers, project="troupe", stack="dev", preview=False, monitor=_Monitor(answers))
        before()
        outputs = declare(settings, Names(project="troupe", stack="dev"), plans, bundles)
        for name, value in outputs.items():
            value.apply(lambda found, name=name: answers.recorded.outputs.update({name: found}))
        await wait_for_rpcs()

    asyncio.run(run())
    return answers.recorded
