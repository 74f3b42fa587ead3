"""Rules of EventBridge onto one queue of SQS, and one dead-letter queue for both: they tell themselves apart in it.

The queue of `uploads` hears no rule: the bucket sends to it.

A rule takes one target and hands it the detail alone, so that a message is an envelope. A bus has room for 300 rules
until its quota is raised.
"""

import json
from math import ceil
from typing import Any

import pulumi
import pulumi_aws as aws

from functions.events.envelope import digest
from infra.aws.policies import EVENTS, S3, document, service, without_tls
from infra.components.common import Common
from infra.components.event_route import ANYBODY, EventRouteArgs, Heard

DAY_S = 86_400
LONGEST_RETENTION_S = 14 * DAY_S  # SQS's
RULE_TRIES = 185  # EventBridge's most: the age decides
#: The runtime gives up first. Throttled functions cost receives, too, and so does a store that is away: ten minutes.
MORE_RECEIVES, LEAST_RECEIVES = 2, 10


class EventRoute(pulumi.ComponentResource):
    """See `infra.components.event_route`."""

    def __init__(self, name: str, args: EventRouteArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:EventRoute", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        kept = pulumi.ResourceOptions(parent=self, retain_on_delete=args.common.protect)
        names, tags = args.common.names, {"agent": args.consumer}
        retention = retention_s(args.delivery.max_age_s)
        dead = aws.sqs.Queue(
            f"{name}-dead",
            name=names.of(args.consumer, "dead"),
            # a message keeps the age that it had in the queue before
            message_retention_seconds=min(args.dead_letter_retention_days * DAY_S + retention, LONGEST_RETENTION_S),
            tags=tags,
            opts=kept,
            **_encrypted(args.common),
        )
        queue = aws.sqs.Queue(
            name,
            name=names.of(args.consumer),
            visibility_timeout_seconds=args.timeout_s + args.again_s,
            message_retention_seconds=retention,
            redrive_policy=dead.arn.apply(lambda arn: _redrive(arn, args.delivery.attempts)),
            tags=tags,
            opts=kept,
            **_encrypted(args.common),
        )
        aws.sqs.RedriveAllowPolicy(
            name,
            queue_url=dead.url,
            redrive_allow_policy=queue.arn.apply(
                lambda arn: json.dumps({"redrivePermission": "byQueue", "sourceQueueArns": [arn]})
            ),
            opts=child,
        )
        rules = [_rule(args, heard, queue=queue, dead=dead, child=child) for heard in args.heard]
        for each, logical in ((queue, name), (dead, f"{name}-dead")):
            aws.sqs.QueuePolicy(
                logical,
                queue_url=each.url,
                policy=pulumi.Output.all(each.arn, args.bucket, args.common.account).apply(_policy_of_bucket)
                if args.bucket is not None and each is queue
                else pulumi.Output.all(each.arn, *[rule.arn for rule in rules]).apply(_policy),
                opts=child,
            )
        self.queue_url, self.queue_arn, self.queue_name = queue.url, queue.arn, queue.name
        self.dead_url, self.dead_arn, self.dead_name = dead.url, dead.arn, dead.name
        self.slowest_s = ceil(args.timeout_s + args.delivery.backoff.maximum_s)
        self.register_outputs({"queue_url": self.queue_url, "dead_url": self.dead_url})


def retention_s(max_age_s: float) -> int:
    """How long a queue keeps a message: twice as long as the runtime would take it, so that it is never lost unseen."""
    return min(max(round(2 * max_age_s), 3600), 4 * DAY_S)


def pattern(source: str, heard: Heard) -> dict[str, Any]:
    """What a rule matches. What an envelope has by default is not in its JSON."""
    detail: dict[str, Any] = {}
    if heard.target is not None:
        detail["target"] = [heard.target] if heard.target != ANYBODY else [{"exists": False}]
    if heard.where and heard.where.priority:
        detail["priority"] = _with_default(heard.where.priority, "normal")
    if heard.where and heard.where.tenant:
        detail["tenant"] = _with_default(heard.where.tenant, "default")
    return {
        "source": [f"{source}.{workflow}" for workflow in heard.workflows],
        **({"detail-type": list(heard.types)} if heard.types else {}),
        **({"detail": detail} if detail else {}),
    }


def _with_default(value: str, default: str) -> list[Any]:
    return [value, {"exists": False}] if value == default else [value]


def _rule(
    args: EventRouteArgs, heard: Heard, *, queue: aws.sqs.Queue, dead: aws.sqs.Queue, child: pulumi.ResourceOptions
) -> aws.cloudwatch.EventRule:
    """A rule, called by a digest: the names of an agent, a workflow and an event together are too long for one."""
    matched = pattern(args.common.names.prefix, heard)
    called = digest(matched)[:8]
    said = f"{' or '.join(heard.types) or 'whatever is aimed at it'}, in {' and '.join(heard.workflows)}"
    rule = aws.cloudwatch.EventRule(
        f"{args.consumer}-{called}",
        name=args.common.names.of(args.consumer, called),
        description=f"To {args.consumer}: {said}"[:512],
        event_bus_name=args.bus,
        event_pattern=json.dumps(matched),
        state="ENABLED",
        tags={"agent": args.consumer},
        opts=child,
    )
    aws.cloudwatch.EventTarget(
        f"{args.consumer}-{called}",
        rule=rule.name,
        event_bus_name=args.bus,
        target_id="queue",
        arn=queue.arn,
        input_path="$.detail",
        dead_letter_config={"arn": dead.arn},
        retry_policy={
            "maximum_event_age_in_seconds": min(max(round(args.delivery.max_age_s), 60), DAY_S),
            "maximum_retry_attempts": RULE_TRIES,
        },
        opts=child,
    )
    return rule


def _encrypted(common: Common) -> dict[str, Any]:
    return {"kms_master_key_id": common.key} if common.key else {"sqs_managed_sse_enabled": True}


def _redrive(dead: str, attempts: int) -> str:
    receives = max(attempts + MORE_RECEIVES, LEAST_RECEIVES)
    return json.dumps({"deadLetterTargetArn": dead, "maxReceiveCount": receives})


def _policy_of_bucket(known: list[str]) -> str:
    queue, bucket, account = known
    ours = {"ArnEquals": {"aws:SourceArn": bucket}, "StringEquals": {"aws:SourceAccount": account}}
    return document(service("Objects", S3, ["sqs:SendMessage"], queue, ours), without_tls("sqs:*", queue))


def _policy(arns: list[str]) -> str:
    """Where no rule sends, as into the net below a queue that S3 fills, nobody may: SQS moves messages by itself."""
    queue, *rules = arns
    sends = service("Rules", EVENTS, ["sqs:SendMessage"], queue, {"ArnEquals": {"aws:SourceArn": rules}})
    return document(*([sends] if rules else []), without_tls("sqs:*", queue))
