"""The project's program, deployed onto the emulator: every resource that it registers is made there, and nothing else.

The Pulumi engine is not here: its mocks hand over each registration, and a second deployment is compared with the one
before by inputs. What is left to the engine's own tests: previews, deletion and replacement.
"""

import asyncio
import json
import threading
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import pulumi
from emulated.gate import Gate
from emulated.registrations import CHANGED, MADE, NOT_EMULATED, Inputs, Made, comparable
from emulated.service_links import Links
from ministack import ACCOUNT, REGION, Emulator
from pulumi.runtime.mocks import MockCallArgs, MockMonitor, MockResourceArgs, Mocks, set_mocks
from pulumi.runtime.stack import run_pulumi_func

PROJECT, STACK = "troupe", "emulated"
PREFIX: Final = f"{PROJECT}-{STACK}"


class Registered(msgspec.Struct, frozen=True):
    """A resource as the program last asked for it, and what became of it."""

    inputs: object
    id: str
    outputs: Mapping[str, Any]


class Report(msgspec.Struct):
    """What a deployment did, by URN."""

    made: list[str] = []
    changed: list[str] = []
    same: list[str] = []
    gone: list[str] = []


class Deployment:
    """A stack on an emulator."""

    def __init__(self, emulator: Emulator) -> None:
        self.url = emulator.url
        self._emulator = emulator
        self._clients: dict[str, Any] = {}
        self.gate = Gate(emulator.url)
        self.links = Links(self.gate)
        self.registered: dict[str, Registered] = {}
        self.outputs: Mapping[str, Any] = {}

    def deploy(self, program: Callable[[], Any], settings: Mapping[str, Any]) -> Report:
        """Run the program with these settings of its stack file; what it did."""
        engine = _Engine(self)
        asyncio.set_event_loop(asyncio.new_event_loop())
        set_mocks(engine, project=PROJECT, stack=STACK, preview=False, monitor=_Monitor(engine))
        pulumi.runtime.set_all_config({f"{PROJECT}:{key}": _in_a_stack_file(value) for key, value in settings.items()})
        asyncio.get_event_loop().run_until_complete(run_pulumi_func(program))
        engine.report.gone = sorted(set(self.registered) - engine.seen)
        return engine.report

    def client(self, service: str) -> Any:  # noqa: ANN401 - boto3 makes its clients as it runs
        """A client of the emulator's root user, which no function is."""
        if service not in self._clients:
            self._clients[service] = self._emulator.client(service)
        return self._clients[service]

    def all(self, kind: str) -> list[Registered]:
        """The resources of a type."""
        return [each for urn, each in self.registered.items() if urn.split("::")[2].rpartition("$")[2] == kind]

    def close(self) -> None:
        """Let no function reach the emulator any more."""
        self.gate.close()
        for client in self._clients.values():
            client.close()


class _Monitor(MockMonitor):
    """Says which resource it is about: mocks are told type and name alone, which two resources may share."""

    mocks: "_Engine"

    def RegisterResource(self, request: Any) -> Any:  # noqa: ANN401, N802 - a message of gRPC, and its call
        self.mocks.at.urn = self.make_urn(request.parent, request.type, request.name)
        return super().RegisterResource(request)


class _Engine(Mocks):
    def __init__(self, deployment: Deployment) -> None:
        self.report = Report()
        self.seen: set[str] = set()
        self.at = threading.local()
        self._deployment = deployment
        self._lock = threading.Lock()

    def call(self, args: MockCallArgs) -> dict[str, Any]:  # type: ignore[override]  # as Pulumi takes it, too
        return _LOOKED_UP[args.token](self._deployment, args.args)

    def new_resource(self, args: MockResourceArgs) -> tuple[str | None, dict[str, Any]]:
        if not args.custom or args.typ.startswith("pulumi:"):
            return args.name, dict(args.inputs)
        with self._lock:
            done = self._done(args)
        return done.id, {**args.inputs, **done.outputs}

    def _done(self, args: MockResourceArgs) -> Registered:
        key, given = self.at.urn, comparable(args.inputs)
        if key in self.seen:
            raise ValueError(f"{key} is registered twice")
        self.seen.add(key)
        known = self._deployment.registered.get(key)
        if known is not None and known.inputs == given:
            self.report.same.append(key)
            return known
        (self.report.made if known is None else self.report.changed).append(key)
        made = self._made(args, is_new=known is None)
        self._deployment.registered[key] = Registered(given, *made)
        return self._deployment.registered[key]

    def _made(self, args: MockResourceArgs, *, is_new: bool) -> Made:
        if args.typ in NOT_EMULATED:
            return args.name, {"arn": f"arn:aws:none:{REGION}:{ACCOUNT}:{args.name}", **_named(args)}
        make = (MADE if is_new else CHANGED).get(args.typ)
        if make is None:
            verb = "made" if is_new else "changed"
            raise NotImplementedError(f"{args.typ} cannot be {verb} here: say in registrations.py what it becomes")
        return make(self._deployment, args.name, args.inputs)


def _named(args: MockResourceArgs) -> dict[str, Any]:
    return {"name": args.inputs.get("name", args.name)}


def _in_a_stack_file(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _secret(stack: Deployment, given: Inputs) -> dict[str, Any]:
    found = stack.client("secretsmanager").describe_secret(SecretId=given.get("arn") or given["name"])
    return {"arn": found["ARN"], "id": found["ARN"], "name": found["Name"]}


#: What the program asks of its provider.
_LOOKED_UP: Final[Mapping[str, Callable[[Deployment, Inputs], dict[str, Any]]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": lambda _stack, _given: {
        "accountId": ACCOUNT,
        "arn": f"arn:aws:iam::{ACCOUNT}:root",
        "id": ACCOUNT,
        "userId": ACCOUNT,
    },
    "aws:index/getRegion:getRegion": lambda _stack, _given: {"name": REGION, "region": REGION, "id": REGION},
    "aws:secretsmanager/getSecret:getSecret": _secret,
}
