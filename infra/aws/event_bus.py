"""A custom bus of EventBridge. Its policy keeps other accounts out; who of this one may publish what, its roles say.

An event that the bus cannot encrypt or decrypt with a key of ours gets as far as no rule and no rule's net: it falls
into the net of the bus.
"""

import pulumi
import pulumi_aws as aws

from infra.aws.policies import EVENTS, document, service, without_tls
from infra.aws.service_grants import BUS
from infra.components.common import Common
from infra.components.event_bus import EventBusArgs

LONGEST_RETENTION_S = 14 * 86_400  # SQS's


class EventBus(pulumi.ComponentResource):
    """See `infra.components.event_bus`."""

    def __init__(self, name: str, args: EventBusArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:EventBus", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        common = args.common
        dead = _net(name, common, self) if common.key else None
        bus = aws.cloudwatch.EventBus(
            name,
            name=common.names.prefix,
            kms_key_identifier=common.key,
            dead_letter_config={"arn": dead.arn} if dead else None,
            opts=child,
        )
        if dead:
            aws.sqs.QueuePolicy(
                f"{name}-dead",
                queue_url=dead.url,
                policy=pulumi.Output.all(dead.arn, bus.arn).apply(lambda arns: _only_this_bus(*arns)),
                opts=child,
            )
        aws.cloudwatch.EventBusPolicy(
            name,
            event_bus_name=bus.name,
            policy=bus.arn.apply(lambda arn: document(_only_this_account(common.account, arn))),
            opts=child,
        )
        self.name = bus.name
        self.arn = bus.arn
        self.dead_name = dead.name if dead else None
        self.register_outputs({"name": self.name, "arn": self.arn})


def _net(name: str, common: Common, parent: pulumi.Resource) -> aws.sqs.Queue:
    return aws.sqs.Queue(
        f"{name}-dead",
        name=common.names.of(BUS, "dead"),
        message_retention_seconds=LONGEST_RETENTION_S,
        kms_master_key_id=common.key,
        opts=pulumi.ResourceOptions(parent=parent, retain_on_delete=common.protect),
    )


def _only_this_bus(queue: str, bus: str) -> str:
    return document(
        service("Bus", EVENTS, ["sqs:SendMessage"], queue, {"ArnEquals": {"aws:SourceArn": bus}}),
        without_tls("sqs:*", queue),
    )


def _only_this_account(account: str, bus: str) -> dict[str, object]:
    return {
        "Sid": "OnlyThisAccount",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "events:PutEvents",
        "Resource": bus,
        "Condition": {"StringNotEquals": {"aws:PrincipalAccount": account}},
    }
