"""The settings of a stack, as its file `Pulumi.<stack>.yaml` gives them under `troupe:`; the only reader of them.

The structs are the contract: the JSON Schema for editors is made of them, and every problem of a file is told at once.
"""

from collections.abc import Mapping
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Percent = Annotated[int, Meta(ge=0, le=100)]


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a stack changes for one agent; what is left out stays as the agent's file says it.

    Attributes:
        memory_mb: Of its function.
        timeout_s: Of one attempt.
        concurrency: How many events it works on at once.
        warm: How many environments stay ready (provisioned concurrency).
    """

    memory_mb: Annotated[int, Meta(ge=128, le=10_240)] | None = None
    timeout_s: Annotated[int, Meta(ge=1, le=540)] | None = None
    concurrency: Annotated[int, Meta(ge=2, le=1000)] | None = None
    warm: Annotated[int, Meta(ge=0, le=500)] = 0


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contract of every route, where the stack changes what the agents' files say."""

    attempts: Annotated[int, Meta(ge=1, le=30)] | None = None
    backoff_min_s: Annotated[float, Meta(gt=0, le=900)] | None = None
    backoff_max_s: Annotated[float, Meta(gt=0, le=900)] | None = None
    max_age_s: Annotated[float, Meta(gt=0, le=86_400)] | None = None


class BudgetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a request may spend on models, and what the account may spend in a month before somebody is told."""

    tokens_per_request: Annotated[int, Meta(ge=1)] | None = None
    usd_per_request: Annotated[float, Meta(gt=0)] | None = None
    usd_per_month: Annotated[float, Meta(gt=0)] | None = None


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether functions stand in a network of their own.

    Attributes:
        vpc: They do; a self-hosted vector store needs it.
        cidr: Its addresses.
        zones: How many availability zones.
        endpoints: AWS's services are reached without the internet, at a monthly price each; needed without `nat`.
        nat: What is outside is reached: a model or a vector store by URL, a server that an action calls.
    """

    vpc: bool = False
    cidr: Annotated[str, Meta(pattern=r"^\d{1,3}(\.\d{1,3}){3}/(1[6-9]|2[0-4])$")] = "10.20.0.0/16"
    zones: Annotated[int, Meta(ge=1, le=3)] = 2
    endpoints: bool = True
    nat: bool = False


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The language model; without one, agents go the way without.

    Attributes:
        kind: `bedrock`, or any endpoint that speaks OpenAI's chat completions.
        id: As it knows the model.
        url: Of the endpoint, for `openai`.
        usd_per_million: What a million tokens cost, read and written.
    """

    kind: Literal["bedrock", "openai"]
    id: str
    url: str = ""
    usd_per_million: tuple[float, float] | None = None


class VectorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where vectors are.

    Attributes:
        kind: A Qdrant server of the stack's own, on a volume in its network; or a store by URL.
        store: Which product the URL is of.
        url: Of the store.
        instance: Of the server.
        volume_gb: Of the server.
    """

    kind: Literal["self-hosted", "url"] = "self-hosted"
    store: Literal["qdrant", "pinecone", "weaviate", "milvus"] = "qdrant"
    url: str = ""
    instance: str = "t4g.small"
    volume_gb: Annotated[int, Meta(ge=8, le=16_384)] = 20


class CollectionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A collection. Name, version, encoder and dimension are part of its physical name; no deploy drops one."""

    version: Annotated[int, Meta(ge=1)] = 1
    encoder: Literal["minilm", "minilm-8bit"] = "minilm"
    ttl_days: Annotated[float, Meta(gt=0)] | None = None


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The HTTP API and the WebSocket.

    Attributes:
        auth: Who is let in: holders of an API key (secret `api-keys`), of a token of an issuer, or of a role of IAM.
        issuer: Of tokens.
        audience: Of tokens.
        tenant_claim: Which claim of a token names the tenant.
        origins: Pages that may call it from a browser.
        websocket: Whether progress is pushed.
        requests_per_second: More are refused.
        burst: So many at once.
    """

    auth: Literal["api-key", "jwt", "iam"] = "api-key"
    issuer: str = ""
    audience: tuple[str, ...] = ()
    tenant_claim: str = "tenant"
    origins: tuple[str, ...] = ()
    websocket: bool = True
    requests_per_second: Annotated[float, Meta(gt=0)] = 50.0
    burst: Annotated[int, Meta(ge=1)] = 100


class AlarmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who is told, and from when on."""

    email: str = ""
    dead_letters: Annotated[int, Meta(ge=1)] = 1
    oldest_message_s: Annotated[int, Meta(ge=60)] = 300
    errors: Annotated[int, Meta(ge=1)] = 5
    throttles: Annotated[int, Meta(ge=1)] = 5


class CanarySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new version of every function gets so much of the traffic, the version before it the rest."""

    percent: Percent = 0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A stack.

    Attributes:
        cloud: Where.
        region: Which one of the cloud's.
        orchestration: How agents are chained.
        workflows: Which ones are deployed.
        agents: By name.
        architecture: Of the processors that functions run on.
        runtime: Of the functions.
        log_retention_days: A value that CloudWatch knows.
        log_level: From which level on a line is kept.
        dead_letter_retention_days: Of what lands in a net.
        encryption: `aws`: AWS's own keys; `stack`: a key that the stack makes; or the ARN of yours.
        secrets: References by purpose: `model`, `vectors`, `actions`, `personal`, `api-keys`: the name or ARN of a
            secret in Secrets Manager, never the secret itself.
        actions: The file of declared actions, from the project's root; empty for none.
        personal_data: What becomes of personal data.
        ingest: Whether documents that are put into the bucket are read.
        protect: Data cannot be deleted by a deploy, and table and bucket keep what they held before.
        permissions_boundary: The ARN of a policy that bounds every role; empty for none.
        cost_centre: A tag of everything.
    """

    cloud: Literal["aws"] = "aws"
    region: Annotated[str, Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-\d$")] = "eu-central-1"
    orchestration: Literal["events"] = "events"
    workflows: Annotated[tuple[str, ...], Meta(min_length=1)] = ("answer", "research", "ingest")
    agents: Mapping[str, AgentSettings] = {}
    architecture: Literal["arm64", "x86_64"] = "arm64"
    runtime: Literal["python3.11", "python3.12", "python3.13"] = "python3.13"
    delivery: DeliverySettings = DeliverySettings()
    budget: BudgetSettings = BudgetSettings()
    log_retention_days: int = 30
    log_level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "INFO"
    dead_letter_retention_days: Annotated[int, Meta(ge=1, le=14)] = 14
    encryption: str = "aws"
    network: NetworkSettings = NetworkSettings()
    secrets: Mapping[str, str] = {}
    model: ModelSettings | None = None
    actions: str = ""
    personal_data: Literal["keep", "vault", "forget"] = "keep"
    vectors: VectorSettings = VectorSettings()
    collections: Mapping[str, CollectionSettings] = {}
    ingest: bool = True
    api: ApiSettings = ApiSettings()
    alarms: AlarmSettings | None = None
    canary: CanarySettings = CanarySettings()
    protect: bool = False
    permissions_boundary: str = ""
    cost_centre: str = "troupe"
