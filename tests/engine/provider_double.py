"""A provider for the real engine of Pulumi: it speaks the engine's protocol, keeps nothing, and writes down every call.

`pulumi` is told of it by `PULUMI_DEBUG_PROVIDERS=aws:<port>`, so that it downloads no plugin and needs no account. It
answers like AWS's provider as far as the program can tell: outputs are unknown in a preview, and known afterwards.
"""

import concurrent.futures
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import grpc
import msgspec
from google.protobuf import empty_pb2, struct_pb2
from google.protobuf.json_format import MessageToDict
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

ACCOUNT: Final = "123456789012"
REGION: Final = "eu-central-1"
VERSION: Final = "7.51.1"
#: What cannot change where it is.
FIXED: Final = frozenset({"name", "bucket", "hashKey", "rangeKey", "functionName", "eventSourceArn", "protocolType"})


class Done(msgspec.Struct, frozen=True):
    """A call of the engine's that changed something: `create`, `update` or `delete`."""

    what: str
    type: str
    name: str


class Provider(provider_pb2_grpc.ResourceProviderServicer):
    """See above.

    Attributes:
        done: What was changed, in the order of the calls.
        secrets: The names of secrets that are there; of any other one the provider says that it is not.
    """

    def __init__(self) -> None:
        self.done: list[Done] = []
        self.secrets: set[str] = set()

    def Handshake(self, *_: object) -> provider_pb2.ProviderHandshakeResponse:  # noqa: N802 - as all here: gRPC's names
        return provider_pb2.ProviderHandshakeResponse(accept_secrets=True, accept_resources=True)

    def Attach(self, *_: object) -> empty_pb2.Empty:  # noqa: N802
        return empty_pb2.Empty()

    def GetPluginInfo(self, *_: object) -> plugin_pb2.PluginInfo:  # noqa: N802
        return plugin_pb2.PluginInfo(version=VERSION)

    def CheckConfig(self, asked: Any, _: object) -> provider_pb2.CheckResponse:  # noqa: ANN401, N802
        return provider_pb2.CheckResponse(inputs=asked.news)

    def DiffConfig(self, *_: object) -> provider_pb2.DiffResponse:  # noqa: N802
        return provider_pb2.DiffResponse(changes=provider_pb2.DiffResponse.DIFF_NONE)

    def Configure(self, *_: object) -> provider_pb2.ConfigureResponse:  # noqa: N802
        return provider_pb2.ConfigureResponse(acceptSecrets=True, supportsPreview=True, acceptResources=True)

    def Check(self, asked: Any, _: object) -> provider_pb2.CheckResponse:  # noqa: ANN401, N802
        return provider_pb2.CheckResponse(inputs=asked.news)

    def Diff(self, asked: Any, _: object) -> provider_pb2.DiffResponse:  # noqa: ANN401, N802
        old, new = MessageToDict(asked.old_inputs), MessageToDict(asked.news)
        changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        some = provider_pb2.DiffResponse.DIFF_SOME if changed else provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some, diffs=changed, replaces=[each for each in changed if each in FIXED]
        )

    def Create(self, asked: Any, _: object) -> provider_pb2.CreateResponse:  # noqa: ANN401, N802
        kind, name = _named(asked.urn)
        if asked.preview:
            return provider_pb2.CreateResponse(id="", properties=asked.properties)
        self.done.append(Done("create", kind, name))
        return provider_pb2.CreateResponse(id=f"{name}-id", properties=_with_outputs(asked.properties, kind, name))

    def Update(self, asked: Any, _: object) -> provider_pb2.UpdateResponse:  # noqa: ANN401, N802
        kind, name = _named(asked.urn)
        if asked.preview:
            return provider_pb2.UpdateResponse(properties=asked.news)
        self.done.append(Done("update", kind, name))
        version = 1 + int(asked.olds.fields["version"].string_value or 0)
        return provider_pb2.UpdateResponse(properties=_with_outputs(asked.news, kind, name, version))

    def Delete(self, asked: Any, _: object) -> empty_pb2.Empty:  # noqa: ANN401, N802
        self.done.append(Done("delete", *_named(asked.urn)))
        return empty_pb2.Empty()

    def Read(self, asked: Any, _: object) -> provider_pb2.ReadResponse:  # noqa: ANN401, N802
        return provider_pb2.ReadResponse(id=asked.id, properties=asked.properties, inputs=asked.inputs)

    def Invoke(self, asked: Any, context: Any) -> provider_pb2.InvokeResponse:  # noqa: ANN401, N802
        given = MessageToDict(asked.args)
        if asked.tok not in _LOOKED_UP:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"{asked.tok}: say in provider_double.py what it answers")
        name = given.get("name") or given.get("arn", "")
        if asked.tok == SECRET and name not in self.secrets:
            failure = provider_pb2.CheckFailure(reason=f"couldn't find resource: secret {name}")
            return provider_pb2.InvokeResponse(failures=[failure])
        answer = struct_pb2.Struct()
        answer.update(_LOOKED_UP[asked.tok](given))
        return provider_pb2.InvokeResponse(**{"return": answer})

    def Cancel(self, *_: object) -> empty_pb2.Empty:  # noqa: N802
        return empty_pb2.Empty()


def _named(urn: str) -> tuple[str, str]:
    """Type and logical name."""
    _, _, kind, name = urn.split("::", 3)
    return kind.rpartition("$")[2], name


def _with_outputs(given: struct_pb2.Struct, kind: str, name: str, version: int = 1) -> struct_pb2.Struct:
    """The inputs, and what AWS would add: the program builds on some of it, and the rest does no harm."""
    known, service = MessageToDict(given), kind.split(":")[1].split("/", maxsplit=1)[0]
    called = known.get("name") or known.get("bucket") or name
    arn = f"arn:aws:{service}:{REGION}:{ACCOUNT}:{called}"
    outputs = struct_pb2.Struct()
    outputs.CopyFrom(given)
    outputs.update(
        {
            "arn": arn,
            "name": called,
            "url": f"https://{service}.{REGION}.amazonaws.com/{ACCOUNT}/{called}",
            "version": str(version),
            "qualifiedArn": f"{arn}:{version}",
            "invokeArn": f"{arn}/invocations",
            "qualifiedInvokeArn": f"{arn}:{version}/invocations",
            "apiEndpoint": f"https://{called}.execute-api.{REGION}.amazonaws.com",
            "executionArn": f"arn:aws:execute-api:{REGION}:{ACCOUNT}:{called}",
            "invokeUrl": f"https://{called}.execute-api.{REGION}.amazonaws.com/live",
            "keyId": f"{called}-key",
            "privateIp": "10.20.0.10",
            "privateDns": "ip-10-20-0-10.internal",
            "result": "{}",
            **{key: value for key, value in known.items() if key != "version"},
        }
    )
    return outputs


SECRET: Final = "aws:secretsmanager/getSecret:getSecret"  # noqa: S105 - the name of a call
_LOOKED_UP: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "aws:index/getCallerIdentity:getCallerIdentity": lambda _: {"accountId": ACCOUNT, "id": ACCOUNT, "userId": "A"},
    "aws:index/getRegion:getRegion": lambda _: {"name": REGION, "region": REGION, "id": REGION},
    "aws:index/getAvailabilityZones:getAvailabilityZones": lambda _: {
        "names": [f"{REGION}{zone}" for zone in "abc"],
        "id": REGION,
    },
    "aws:ec2/getAmi:getAmi": lambda _: {"id": "ami-1", "imageId": "ami-1"},
    "aws:ec2/getPrefixList:getPrefixList": lambda given: {"id": "pl-1", "name": given.get("name", "")},
    "aws:ssm/getParameter:getParameter": lambda given: {"name": given.get("name", ""), "value": "ami-1", "id": "p"},
    SECRET: lambda given: {
        "arn": f"arn:aws:secretsmanager:{REGION}:{ACCOUNT}:secret:{given.get('name', '')}-a1B2c3",
        "name": given.get("name", ""),
        "id": "secret",
    },
}


@contextmanager
def serving() -> Iterator[tuple[Provider, int]]:
    """A provider, and the port of 127.0.0.1 that it listens on."""
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(16))
    provider = Provider()
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(provider, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield provider, port
    finally:
        server.stop(None).wait()
