"""What is too large to travel or to be an item, the plans of every deployment, and documents that are put there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import pulumi

from functions.runtime.workflow import Plan
from infra.components.common import Common

PLANS, DOCUMENTS = "plans/", "documents/"


@dataclass(frozen=True, kw_only=True)
class BlobStoreArgs:
    """The store.

    Attributes:
        plans: Of this deployment. Those of earlier ones stay, since their requests finish under them.
    """

    common: Common
    plans: Sequence[Plan]


class BlobStore(Protocol):
    """Where blobs are."""

    name: pulumi.Output[str]
    arn: pulumi.Output[str]
