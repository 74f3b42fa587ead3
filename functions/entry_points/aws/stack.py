"""What the functions of a stack stand on, each made when it is first asked for: a function pays for what it uses."""

import sys
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from functions.adapters.aws.blobs import DELIVERIES, TEXTS, S3Blobs
from functions.adapters.aws.bus import EventBridgeBus
from functions.adapters.aws.client import Aws
from functions.adapters.aws.items import DynamoItems
from functions.adapters.aws.secrets import SecretSettings
from functions.entry_points.aws.environment import ENCODER_FOLDER, Deployed, deployed
from functions.entry_points.aws.plans import PREFIX, Plans, current_plans
from functions.ports.vectors import Collection
from functions.runtime.workflow import Plan
from functions.workflows.catalog import WORKFLOWS

if TYPE_CHECKING:
    from functions.adapters.encoders.registry import CarriedEncoders
    from functions.adapters.items.catalog import ItemCatalog
    from functions.adapters.models.bound import Chat
    from functions.adapters.vectors.settings import VectorSettings
    from functions.personal.tokenizer import PersonalTokenizer
    from functions.ports.vector_stores import VectorStore

#: Settings that name the one that holds a key, as `env:NAME`: their secrets are given a name of their own.
REFERENCES: Final = ("TROUPE_VECTOR_KEY", "TROUPE_PERSONAL_DATA_KEY")


class Stack:
    """The stack as one function sees it.

    Args:
        environment: What the infrastructure set, and what Lambda did.
        now: The time, in UTC.
        left_s: How many seconds the invocation has left.
    """

    def __init__(
        self, environment: Mapping[str, str], *, now: Callable[[], datetime], left_s: Callable[[], float]
    ) -> None:
        self.deployed: Deployed = deployed(environment)
        self.now = now
        self.aws = Aws(environment, left_s=left_s, now=now)
        self.settings = _settings(environment, self.deployed, self.aws)
        self.items = DynamoItems(self.aws, self.deployed.table, now)
        self.blobs = S3Blobs(self.aws, self.deployed.bucket, DELIVERIES)
        self._collections: dict[str, Collection] = {}

    @cached_property
    def bus(self) -> EventBridgeBus:
        """Where events go, and what is told later."""
        queues = {name: self.queue(name) for name in self.agents}
        return EventBridgeBus(
            self.aws, name=self.deployed.bus, source=self.deployed.source, queues=queues, now=self.now
        )

    @cached_property
    def agents(self) -> frozenset[str]:
        """Those of this deployment."""
        return frozenset(name for plan in self.current.values() for name in plan.nodes)

    @cached_property
    def current(self) -> dict[str, Plan]:
        """The plans of this deployment, by the workflow's name."""
        return current_plans(self.deployed, WORKFLOWS)

    @cached_property
    def plans(self) -> Plans:
        """All plans that there are, by version."""
        kept = S3Blobs(self.aws, self.deployed.bucket, PREFIX)
        return Plans(self.current, kept.get, time.monotonic, self.deployed.function)

    @cached_property
    def vector_settings(self) -> "VectorSettings":
        """Where vectors are; within the stack's own namespace, where the settings say none."""
        import msgspec  # noqa: PLC0415 - beside the next

        from functions.adapters.vectors.settings import vector_settings  # noqa: PLC0415 - not for all

        found = vector_settings(self.settings)
        if found.is_service and not found.namespace:
            return msgspec.structs.replace(found, namespace=self.deployed.source)
        return found

    @cached_property
    def vectors(self) -> "VectorStore":
        """The vector store."""
        from functions.adapters.vectors.namespaced import NamespacedStore  # noqa: PLC0415 - not for all
        from functions.adapters.vectors.settings import opened  # noqa: PLC0415 - not for all

        settings = self.vector_settings
        found = opened(settings, self._scratch)
        return NamespacedStore(found, settings.namespace) if settings.is_service else found

    @cached_property
    def catalog(self) -> "ItemCatalog":
        """Which versions each collection has; what this function carries is said there, if it carries encoders.

        All environments of one version of a function carry the same, and so say it under one name.
        """
        from functions.adapters.items.catalog import ItemCatalog  # noqa: PLC0415 - not for all
        from functions.ports.catalog import Carrier  # noqa: PLC0415 - beside it

        name = f"{self.deployed.function} {self.settings.get('AWS_LAMBDA_FUNCTION_VERSION', '$LATEST')}"
        versions = self.encoders.versions if _encoder_home(self.settings) else frozenset[str]()
        carrier = Carrier(name=name, encoders=versions) if versions else None
        return ItemCatalog(self.items, self.vector_settings.place, self.now, carrier)

    @cached_property
    def encoders(self) -> "CarriedEncoders":
        """Those whose files are in the bundle or in its layer, and those behind endpoints."""
        from functions.adapters.encoders.registry import registered  # noqa: PLC0415 - slow, and not for all

        return registered(_encoder_home(self.settings) or self._scratch, self.settings)

    @cached_property
    def tokenizer(self) -> "PersonalTokenizer | None":
        """What takes personal data out of texts; None where it stays in them."""
        from functions.adapters.personal_settings import personal_settings  # noqa: PLC0415 - not for all

        settings = personal_settings(self.settings)
        if settings.mode == "keep":
            return None
        from functions.adapters.items.vault import ItemVault  # noqa: PLC0415 - slow, and not for all
        from functions.personal.keys import Key  # noqa: PLC0415 - see above
        from functions.personal.tokenizer import PersonalTokenizer  # noqa: PLC0415 - see above

        return PersonalTokenizer(
            [Key(each.value().encode()) for each in settings.keys],
            vault=ItemVault(self.items) if settings.mode == "vault" else None,
            ttl=timedelta(days=settings.days),
            regions=settings.regions,
            now=self.now,
        )

    @cached_property
    def chat(self) -> "Chat | None":
        """The language model; None where the stack has none."""
        from functions.adapters.aws.models import bedrock_settings  # noqa: PLC0415 - not for all
        from functions.adapters.models.breaker import Breaker  # noqa: PLC0415 - not for all

        settings = bedrock_settings(self.settings)
        if settings is not None:
            from functions.adapters.aws.models import BedrockChat  # noqa: PLC0415 - not for all

            return Breaker(BedrockChat(self.aws, settings))
        from functions.adapters.models.settings import model_settings  # noqa: PLC0415 - not for all

        endpoint = model_settings(self.settings)
        if endpoint is None:
            return None
        from functions.adapters.models.openai_compatible import OpenAICompatible  # noqa: PLC0415 - slow

        return Breaker(OpenAICompatible(endpoint))

    @cached_property
    def _scratch(self) -> Path:
        """A folder of this process alone; Lambda keeps it no longer than that."""
        import tempfile  # noqa: PLC0415 - not for all

        return Path(tempfile.mkdtemp(prefix="troupe-"))

    def queue(self, *names: str) -> str:
        """The URL of the queue of a function, or with `dead` of its net; names are those of `infra.naming`."""
        return self.deployed.queues_at + "-".join(names).replace("_", "-")

    def collection(self, name: str) -> Collection:
        """A collection of the stack; the keeper has made it.

        Raises:
            UnknownCollectionError: It has not.
        """
        if name not in self._collections:
            from functions.collections.collection import VersionedCollection  # noqa: PLC0415 - slow, and not for all

            self._collections[name] = VersionedCollection(
                name,
                catalog=self.catalog,
                store=self.vectors,
                encoders=self.encoders,
                blobs=S3Blobs(self.aws, self.deployed.bucket, TEXTS),
                now=self.now,
                # a service stores no texts and asks none, and may not read the key
                tokenizer=self.tokenizer if self.deployed.function in self.agents else None,
            )
        return self._collections[name]


def _settings(environment: Mapping[str, str], deployed: Deployed, aws: Aws) -> SecretSettings:
    referring = {name: f"env:{_held_by(name)}" for name in REFERENCES if name in deployed.secrets}
    secrets = {_held_by(name) if name in REFERENCES else name: arn for name, arn in deployed.secrets.items()}
    return SecretSettings({**environment, **referring}, secrets, aws)


def _held_by(name: str) -> str:
    return f"{name}_VALUE"


def _encoder_home(settings: Mapping[str, str]) -> Path | None:
    """The folder in which `encoders` is, if any: a layer puts it where Python looks for packages."""
    given = settings.get(ENCODER_FOLDER)
    found = (Path(each) for each in ([given] if given else sys.path) if each)
    return next((each for each in found if (each / "encoders").is_dir()), None)
