"""One call of the keeper for each change of what is declared, and none when it is taken back (`CREATE_ONLY`)."""

import msgspec
import pulumi
import pulumi_aws as aws

from functions.collections.points import layout_of
from functions.entry_points.aws.environment import Declared
from functions.events.envelope import digest
from infra.components.vector_collection import VectorCollectionArgs

ENSURE = '{"do": "ensure"}'  # the keeper knows what is declared, and makes all that is missing


class _Made(msgspec.Struct, frozen=True):
    """As much of an encoder as its collections' names need."""

    version: str
    dimension: int


class VectorCollection(pulumi.ComponentResource):
    """See `infra.components.vector_collection`."""

    def __init__(self, name: str, args: VectorCollectionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:VectorCollection", name, {}, opts)
        self.physical_name = physical_name(args.collection, args.declared)
        aws.lambda_.Invocation(
            name,
            function_name=args.keeper.name,
            qualifier=args.keeper.qualifier,
            input=ENSURE,
            triggers={"declared": digest(args.declared), "name": self.physical_name},
            lifecycle_scope="CREATE_ONLY",
            # it is called while the deploy is under way: its role's policy and the store's server have to stand, and
            # the name of the function waits for neither
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.after)),
        )
        self.register_outputs({"physical_name": self.physical_name})


def physical_name(collection: str, declared: Declared) -> str:
    """What the store calls it."""
    return layout_of(collection, declared.version, _Made(declared.encoder, declared.dimension)).name
