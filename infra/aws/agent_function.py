"""The Lambda function of one agent behind its queue, its policy derived from its signature."""

import pulumi

from infra.aws.function import function, log_group
from infra.aws.granted import granted
from infra.aws.grants import statements
from infra.components.function import FunctionArgs


class AgentFunction(pulumi.ComponentResource):
    """See `infra.components.agent_function`."""

    def __init__(self, name: str, args: FunctionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:AgentFunction", name, {}, opts)
        around = args.surroundings
        group = log_group(args.function, args.common, args.platform, self)
        joins = {join for plan in around.plans if args.function in plan.nodes for join in plan.closers.values()}
        allowed = granted(
            args,
            lambda place: statements(args.function, around.plans, place),
            queues={each: around.routes[each] for each in sorted({args.function, *joins})},
            log=group.arn,
            timeout_s=args.timeout_s,
        )
        made = function(args, allowed, group, self)
        self.name, self.target, self.qualifier = made.function.name, made.alias.arn, made.alias.name
        self.invoke = made.alias.invoke_arn
        self.register_outputs({"name": self.name, "target": self.target})
