"""A Lambda function that is no agent; its policy is listed in `infra.aws.service_grants`.

It stands in the stack's network only if it reaches a vector store there.
"""

from dataclasses import replace

import pulumi

from infra.aws.function import function, log_group
from infra.aws.granted import granted
from infra.aws.service_grants import IN_NETWORK, service
from infra.components.function import FunctionArgs


class ServiceFunction(pulumi.ComponentResource):
    """See `infra.components.service_function`."""

    def __init__(self, name: str, args: FunctionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:ServiceFunction", name, {}, opts)
        around = args.surroundings
        if args.function not in IN_NETWORK:
            args = replace(args, platform=replace(args.platform, subnets=(), security_groups=()))
        group = log_group(args.function, args.common, args.platform, self)
        allowed = granted(
            args,
            lambda place: service(args.function, around.plans, place),
            queues=around.routes,
            log=group.arn,
        )
        made = function(args, allowed, group, self)
        self.name, self.target, self.qualifier = made.function.name, made.alias.arn, made.alias.name
        self.invoke = made.alias.invoke_arn
        self.register_outputs({"name": self.name, "target": self.target})
