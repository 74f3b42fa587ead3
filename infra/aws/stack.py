"""The account and the region that a stack is in, and the tags that everything in it carries.

Tags are the provider's own (`default_tags`): whatever can be tagged is, also what somebody adds below this component.
"""

import pulumi
import pulumi_aws as aws

from infra.components.common import Common
from infra.components.stack import StackArgs


class Stack(pulumi.ComponentResource):
    """See `infra.components.stack`."""

    def __init__(self, name: str, args: StackArgs) -> None:
        tags = {
            "project": args.names.project,
            "stack": args.names.prefix,
            "workflow": " ".join(args.workflows),
            "cost_centre": args.cost_centre,
        }
        provider = aws.Provider("aws", region=args.region, default_tags={"tags": tags})
        super().__init__("troupe:aws:Stack", name, {}, pulumi.ResourceOptions(providers=[provider]))
        caller = aws.get_caller_identity(opts=pulumi.InvokeOptions(provider=provider))
        self.common = Common(
            names=args.names,
            account=caller.account_id,
            region=args.region,
            protect=args.protect,
            permissions_boundary=args.permissions_boundary,
        )
        self.register_outputs({})
