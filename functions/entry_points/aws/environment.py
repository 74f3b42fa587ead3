"""What the infrastructure tells a function in its environment: both sides import the names from here."""

from collections.abc import Mapping
from typing import Final

import msgspec

from functions.errors import TroupeError
from functions.events.decoding import decoder

DEPLOYED: Final = "TROUPE_DEPLOYED"
#: The folder in which `encoders` is, with the files of the encoders; where it is not set, the first on Python's path.
ENCODER_FOLDER: Final = "TROUPE_ENCODER_FOLDER"


class Contract(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the stack changes in the delivery of every agent; None leaves what the agent's own file says."""

    attempts: int | None = None
    backoff_min_s: float | None = None
    backoff_max_s: float | None = None
    max_age_s: float | None = None


class Deployed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a function finds its stack.

    Attributes:
        function: The agent's name, or the service's: `api`, `socket`, `desk`, …
        source: What the source of every event begins with: project and stack, e.g. `troupe-dev`.
        workflows: Those that are deployed.
        bus: The name of the event bus.
        table: The name of the DynamoDB table.
        bucket: The name of the bucket; data is under `blobs/`, plans under `plans/`.
        queues_at: What the URL of every queue of the stack begins with: the name of its function follows, and `-dead`
            where it is a dead-letter queue. Nothing that is told grows with the number of agents: Lambda's environment
            has little room.
        services: Those beside the agents that have a queue, and `bus` where that has a net of its own.
        secrets: The ARN of each secret that this function may read, by the setting that it stands for, e.g.
            `TROUPE_MODEL_KEY`.
        collections: What each declared collection stands for: `infra.settings.CollectionSettings` by name.
        contract: What the stack changes in deliveries.
        budget_tokens: Of a request; None leaves the workflow's.
        budget_micros: Of a request, in millionths of a US dollar; None leaves the workflow's.
        socket_url: Where connections are posted to; empty where the stack has no WebSocket.
        tenant_claim: The claim of a caller's token that names its tenant.
        timeout_s: Of an agent's function, where the stack gives it another than the agent's own file.
    """

    function: str
    source: str
    workflows: tuple[str, ...]
    bus: str
    table: str
    bucket: str
    queues_at: str = ""
    services: tuple[str, ...] = ()
    secrets: Mapping[str, str] = {}
    collections: Mapping[str, "Declared"] = {}
    contract: Contract = Contract()
    budget_tokens: int | None = None
    budget_micros: int | None = None
    socket_url: str = ""
    tenant_claim: str = "tenant"
    timeout_s: int | None = None


class Declared(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A collection as the stack declares it.

    Attributes:
        version: Its number.
        encoder: The version string of its encoder.
        dimension: Of its vectors.
        ttl_s: How long a passage stays; None for ever.
    """

    version: int
    encoder: str
    dimension: int
    ttl_s: float | None = None


def deployed(environment: Mapping[str, str]) -> Deployed:
    """What the environment says.

    Raises:
        TroupeError: It says nothing, or something else than this version of the code expects.
    """
    given = environment.get(DEPLOYED, "")
    if not given:
        raise TroupeError(f"{DEPLOYED} is not set: this function was not deployed by the project's program")
    try:
        return decoder(Deployed).decode(given)
    except msgspec.MsgspecError as error:
        raise TroupeError(
            f"{DEPLOYED} is not what this version expects ({error}): deploy code and settings together"
        ) from error


def said(deployed: Deployed) -> str:
    """As the environment holds it."""
    return msgspec.json.encode(deployed, order="deterministic").decode()
