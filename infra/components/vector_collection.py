"""A collection of vectors. Its physical name says name, version and encoder, so another encoder is another collection.

A function inside the network makes it where it is missing: whoever deploys may not reach a private store. Nothing ever
drops one with a deploy, not even when its declaration goes.
"""

from dataclasses import dataclass
from typing import Protocol

import pulumi

from functions.entry_points.aws.environment import Declared
from infra.components.function import Function


@dataclass(frozen=True, kw_only=True)
class VectorCollectionArgs:
    """A collection as the stack declares it.

    Attributes:
        collection: What agents call it.
        declared: What is part of its physical name, and how long a passage stays.
        keeper: Makes it; it is told of every collection, and makes those that are missing.
        after: What has to be there before the keeper can be called.
    """

    collection: str
    declared: Declared
    keeper: Function
    after: tuple[pulumi.Resource, ...] = ()


class VectorCollection(Protocol):
    """What it is called in the store."""

    physical_name: str
