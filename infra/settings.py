"""What can be set of a stack, under `troupe:` in `Pulumi.<stack>.yaml`; the JSON Schema for editors is made of it."""

from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import Meta

from functions.errors import TroupeError

PURPOSES: Final = ("model", "vectors", "actions", "personal", "api-keys")
# fmt: off
Retention = Literal[
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922, 3288, 3653
]
# fmt: on

_KEY = r"^(aws|stack|arn:aws:kms:[a-z0-9-]+:\d{12}:key/[A-Za-z0-9-]+)$"
_POLICY = r"^(arn:aws:iam::(\d{12}|aws):policy/[\w+=,.@/-]+)?$"
_Price = Annotated[float, Meta(ge=0, le=999_999)]
_TAG = r"^[\w .:/=+@-]{1,256}$"  # of a tag's value; letters beyond ASCII are left out


class SettingsError(TroupeError):
    """The settings of a stack cannot be used.

    Attributes:
        problems: Everything wrong with them, a sentence each.
    """

    def __init__(self, problems: list[str]) -> None:
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        lines = "".join(f"\n- {each}" for each in problems)
        super().__init__(f"the settings of this stack cannot be used, {count}:{lines}")
        self.problems = problems


def key_of(field: str) -> str:
    """How a stack file writes the name of a setting: `memory_mb` is `memoryMb` there, `timeout_s` `timeoutSeconds`."""
    first, *more = (f"{field}econds" if field.endswith("_s") else field).split("_")
    return first + "".join(each.title() for each in more)


class AgentSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """What a stack changes for one agent; what is left out stays as the agent's file says it.

    Attributes:
        memory_mb: How much memory its function has.
        timeout_s: How long one attempt may take.
        concurrency: How many events it works on at once.
        warm: How many environments stay ready (provisioned concurrency), at a monthly price each; left out, what the
            stack's own `warm` says of those that somebody waits for.
        snap_start: An environment starts from a snapshot of one that was ready (SnapStart) instead.
    """

    memory_mb: Annotated[int, Meta(ge=128, le=10_240)] | None = None
    timeout_s: Annotated[int, Meta(ge=1, le=540)] | None = None
    concurrency: Annotated[int, Meta(ge=2, le=1000)] | None = None
    warm: Annotated[int, Meta(ge=0, le=500)] = 0
    snap_start: bool = False


class DeliverySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """The contract of every route, where the stack changes what the agents' files say.

    Attributes:
        attempts: How often an event is tried.
        backoff_min_s: How long the first retry waits.
        backoff_max_s: How long the last ones wait at most; the wait doubles in between.
        max_age_s: An event that is older is given up; EventBridge knows nothing shorter than a minute.
    """

    attempts: Annotated[int, Meta(ge=1, le=30)] | None = None
    backoff_min_s: Annotated[float, Meta(gt=0, le=900)] | None = None
    backoff_max_s: Annotated[float, Meta(gt=0, le=900)] | None = None
    max_age_s: Annotated[float, Meta(ge=60, le=86_400)] | None = None


class BudgetSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """What a request may spend on models, and what the account may spend in a month before somebody is told.

    Attributes:
        tokens_per_request: How many tokens all its model calls together may take; left out, what the workflow says.
        usd_per_request: How many US dollars they may cost; left out, what the workflow says.
        usd_per_month: Whoever `alarms.email` names is told when the month's costs of this stack will pass it.
    """

    tokens_per_request: Annotated[int, Meta(ge=1)] | None = None
    usd_per_request: Annotated[float, Meta(gt=0)] | None = None
    usd_per_month: Annotated[float, Meta(gt=0)] | None = None


class NetworkSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """Whether functions stand in a network of their own.

    Attributes:
        vpc: Agents stand in a network of the stack's own; a self-hosted vector store needs it.
        cidr: The addresses of the network.
        zones: In how many availability zones it is.
        endpoints: AWS's services are reached without the internet, at a monthly price each; needed without `nat`.
        nat: What is outside is reached from it: a model or a vector store by URL, a server that an action calls.
    """

    vpc: bool = False
    cidr: Annotated[str, Meta(pattern=r"^\d{1,3}(\.\d{1,3}){3}/(1[6-9]|2[0-4])$", examples=["10.20.0.0/16"])] = (
        "10.20.0.0/16"
    )
    zones: Annotated[int, Meta(ge=1, le=3)] = 2
    endpoints: bool = True
    nat: bool = False


class ModelSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """The language model; without one, agents go the way without.

    Attributes:
        kind: `bedrock`, or any endpoint that speaks OpenAI's chat completions.
        id: What the model is called there.
        url: The URL of the endpoint, for `openai`.
        usd_per_million: What a million tokens cost in US dollars, read and written; needed for a model without a list
            price of ours.
    """

    kind: Literal["bedrock", "openai"]
    id: Annotated[str, Meta(min_length=1, max_length=256, examples=["gpt-5-mini"])]
    url: str = ""
    usd_per_million: tuple[_Price, _Price] | None = None


class VectorSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """Where vectors are.

    Attributes:
        kind: A Qdrant server of the stack's own, on a volume in its network; or a store by URL.
        store: Which product the URL is of; what speaks to Milvus is larger than functions have room for.
        url: The URL of the store; Pinecone is found without one.
        instance: The type of the server.
        volume_gb: The size of the server's volume.
        release_sha256: What the release of the server has to be, for the processors of its instance: it is not started
            otherwise. Left out, it is not checked.
    """

    kind: Literal["self-hosted", "url"] = "self-hosted"
    store: Literal["qdrant", "pinecone", "weaviate"] = "qdrant"
    url: str = ""
    instance: Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$", examples=["t4g.small"])] = "t4g.small"
    volume_gb: Annotated[int, Meta(ge=8, le=16_384)] = 20
    release_sha256: Annotated[str, Meta(pattern=r"^([0-9a-f]{64})?$", examples=["the 64 digits of a SHA-256"])] = ""


class CollectionSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """A collection. Name, version, encoder and dimension are part of its physical name; no deploy drops one.

    Attributes:
        version: Of a collection that is not there yet; what is there keeps its own.
        encoder: What makes vectors of texts.
        ttl_days: How long a passage stays; left out, for ever.
    """

    version: Annotated[int, Meta(ge=1)] = 1
    encoder: Literal["minilm", "minilm-8bit"] = "minilm"
    ttl_days: Annotated[float, Meta(gt=0)] | None = None


class ApiSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """The HTTP API and the WebSocket.

    Attributes:
        auth: Who is let in: holders of an API key (secret `api-keys`), of a token of an issuer, or of a role of IAM.
        issuer: Who issues tokens, as an https URL.
        audience: What a token has to be for: one of these.
        tenant_claim: Which claim of a token names the tenant.
        origins: Pages that may call it from a browser.
        websocket: Whether progress is pushed.
        requests_per_second: How many are taken in the long run; more are refused.
        burst: How many more than that may come at once.
    """

    auth: Literal["api-key", "jwt", "iam"] = "api-key"
    issuer: str = ""
    audience: tuple[Annotated[str, Meta(min_length=1)], ...] = ()
    tenant_claim: Annotated[str, Meta(min_length=1)] = "tenant"
    origins: tuple[str, ...] = ()
    websocket: bool = True
    requests_per_second: Annotated[float, Meta(gt=0)] = 50.0
    burst: Annotated[int, Meta(ge=1)] = 100


class AlarmSettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """Who is told, and from when on.

    Attributes:
        email: Who is told; AWS asks for a confirmation first. Empty: alarms are only to be seen.
        dead_letters: How many in one net are too many.
        oldest_message_s: How old a message in a queue is too old; never less than what one try of its function and the
            longest wait before it take.
        errors: How many of one function in five minutes are too many.
        throttles: How many of one function in five minutes are too many.
    """

    email: Annotated[str, Meta(pattern=r"^([^@\s]+@[^@\s]+)?$", examples=["oncall@example.com"])] = ""
    dead_letters: Annotated[int, Meta(ge=1)] = 1
    oldest_message_s: Annotated[int, Meta(ge=60)] = 300
    errors: Annotated[int, Meta(ge=1)] = 5
    throttles: Annotated[int, Meta(ge=1)] = 5


class CanarySettings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """A new version of every function gets a part of the traffic first, the version before it the rest.

    Attributes:
        percent: How much the new one gets; 0: all at once.
    """

    percent: Annotated[int, Meta(ge=0, le=99)] = 0


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename=key_of):
    """A stack.

    Attributes:
        cloud: Which cloud it is on.
        region: Which of the cloud's regions.
        orchestration: How agents are chained: by events on a bus.
        workflows: Which workflows are deployed.
        agents: What the stack changes for an agent, by its name.
        warm: How many environments stay ready of every agent between a question and its answer, and of each function
            that a caller or an answer waits for: `api`, `authorizer`, `socket`, `desk`, `pusher`.
        architecture: Which processors functions run on.
        runtime: Which Python functions run on; the C library of Lambda's python3.11 is too old for what makes vectors.
        delivery: What the stack changes for every route.
        budget: What may be spent.
        log_retention_days: How long logs are kept.
        log_level: From which level on a line is kept.
        dead_letter_retention_days: How long what lands in a net is kept there.
        encryption: `aws`: AWS's own keys; `stack`: a key that the stack makes; or the ARN of yours.
        network: Where functions stand.
        secrets: References by purpose: `model`, `vectors`, `actions`, `personal`, `api-keys`: the name or ARN of a
            secret in Secrets Manager, never the secret itself.
        model: The language model; left out, agents go the way without.
        actions: The file of declared actions, from the project's root; empty for none.
        personal_data: What becomes of personal data in texts.
        vectors: Where vectors are.
        collections: What the stack changes for a collection, by its name.
        ingest: Whether documents that are put into the bucket are read.
        api: The HTTP API and the WebSocket.
        alarms: Who is told, and from when on; left out, there are none.
        canary: How a new version takes over.
        protect: Data cannot be deleted by a deploy, and table and bucket keep what they held before.
        permissions_boundary: The ARN of a policy that bounds every role; empty for none.
        cost_centre: A tag of everything.
    """

    cloud: Literal["aws"] = "aws"
    region: str = "eu-central-1"
    orchestration: Literal["events"] = "events"
    workflows: Annotated[tuple[str, ...], Meta(min_length=1)] = ("answer", "research", "ingest")
    agents: Mapping[str, AgentSettings] = {}
    warm: Annotated[int, Meta(ge=0, le=100)] = 0
    architecture: Literal["arm64", "x86_64"] = "arm64"
    runtime: Literal["python3.12", "python3.13"] = "python3.13"
    delivery: DeliverySettings = DeliverySettings()
    budget: BudgetSettings = BudgetSettings()
    log_retention_days: Retention = 30
    log_level: Literal["DEBUG", "INFO", "WARN", "ERROR"] = "INFO"
    dead_letter_retention_days: Annotated[int, Meta(ge=1, le=14)] = 14
    encryption: Annotated[str, Meta(pattern=_KEY, examples=["aws", "stack", "arn:aws:kms:…"])] = "aws"
    network: NetworkSettings = NetworkSettings()
    secrets: Annotated[Mapping[str, str], Meta(extra_json_schema={"propertyNames": {"enum": list(PURPOSES)}})] = {}
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
    permissions_boundary: Annotated[str, Meta(pattern=_POLICY, examples=["arn:aws:iam::123456789012:policy/bound"])] = (
        ""
    )
    cost_centre: Annotated[str, Meta(pattern=_TAG, examples=["troupe"])] = "troupe"


@cache
def schema() -> dict[str, Any]:
    """The JSON Schema of the settings, each under its key without `troupe:`."""
    made = msgspec.json.schema(Settings, ref_template="#/$defs/{name}")
    return {**made["$defs"].pop("Settings"), "$defs": made["$defs"]}
