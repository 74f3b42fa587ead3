"""A custom bus of EventBridge. Its policy keeps other accounts out; who of this one may publish what, its roles say."""

import pulumi
import pulumi_aws as aws

from infra.aws.policies import document
from infra.components.event_bus import EventBusArgs


class EventBus(pulumi.ComponentResource):
    """See `infra.components.event_bus`."""

    def __init__(self, name: str, args: EventBusArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:EventBus", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        common = args.common
        bus = aws.cloudwatch.EventBus(name, name=common.names.prefix, kms_key_identifier=common.key, opts=child)
        aws.cloudwatch.EventBusPolicy(
            name,
            event_bus_name=bus.name,
            policy=bus.arn.apply(lambda arn: document(_only_this_account(common.account, arn))),
            opts=child,
        )
        self.name = bus.name
        self.arn = bus.arn
        self.register_outputs({"name": self.name, "arn": self.arn})


def _only_this_account(account: str, bus: str) -> dict[str, object]:
    return {
        "Sid": "OnlyThisAccount",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "events:PutEvents",
        "Resource": bus,
        "Condition": {"StringNotEquals": {"aws:PrincipalAccount": account}},
    }
