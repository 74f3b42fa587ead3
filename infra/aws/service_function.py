"""A function of Lambda that is no agent, see `infra.aws.function`."""

import pulumi

from infra.aws.function import function, log_group
from infra.components.service_function import ServiceFunctionArgs


class ServiceFunction(pulumi.ComponentResource):
    """See `infra.components.service_function`."""

    def __init__(self, name: str, args: ServiceFunctionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:ServiceFunction", name, {}, opts)
        group = log_group(args.function, args.common, args.platform, self)
        made = function(args, group, self)
        self.name, self.target, self.qualifier = made.function.name, made.alias.arn, made.alias.name
        self.invoke = made.alias.invoke_arn
        self.register_outputs({"name": self.name, "target": self.target})
