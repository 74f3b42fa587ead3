"""Alarms of CloudWatch, told by one topic of SNS.

What lands in a net is swept within a minute, so that a net is looked at once a minute; what an agent itself gives up
never gets there, and shows in `troupe dead-letters`. CloudWatch may not use AWS's own key of SNS, so that the topic is
encrypted where the stack has a key of its own; a message names a metric and a number.
"""

import pulumi
import pulumi_aws as aws

from infra.aws.policies import document, service, without_tls
from infra.components.alarms import AlarmsArgs

#: Whose they are, what an alarm is called by, and what is compared: over how many seconds.
METRICS = {
    "ApproximateNumberOfMessagesVisible": ("AWS/SQS", "dead-letters", "Maximum", 60),
    "ApproximateAgeOfOldestMessage": ("AWS/SQS", "oldest", "Maximum", 60),
    "Errors": ("AWS/Lambda", "errors", "Sum", 300),
    "Throttles": ("AWS/Lambda", "throttles", "Sum", 300),
}
TELLERS = ("cloudwatch.amazonaws.com", "budgets.amazonaws.com")


class Alarms(pulumi.ComponentResource):
    """See `infra.components.alarms`."""

    def __init__(self, name: str, args: AlarmsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:Alarms", name, {}, opts)
        self._child = pulumi.ResourceOptions(parent=self)
        self._args = args
        self._topic = self._told(name)
        limits = args.settings
        for consumer, route in args.routes.items():
            dead, queue = {"QueueName": route.dead_name}, {"QueueName": route.queue_name}
            self._alarm(consumer, "ApproximateNumberOfMessagesVisible", dead, limits.dead_letters)
            self._alarm(consumer, "ApproximateAgeOfOldestMessage", queue, limits.oldest_message_s)
        for called, function in args.functions.items():
            of = {"FunctionName": function.name}
            self._alarm(called, "Errors", of, limits.errors)
            self._alarm(called, "Throttles", of, limits.throttles)
        if args.usd_per_month:
            self._budget(name, args.usd_per_month)
        self.topic = self._topic.arn
        self.register_outputs({"topic": self.topic})

    def _told(self, name: str) -> aws.sns.Topic:
        common = self._args.common
        topic = aws.sns.Topic(name, name=common.names.of("alarms"), kms_master_key_id=common.key, opts=self._child)
        aws.sns.TopicPolicy(
            name,
            arn=topic.arn,
            policy=topic.arn.apply(
                lambda arn: document(
                    *[
                        service(
                            teller.partition(".")[0].title(),
                            teller,
                            ["sns:Publish"],
                            arn,
                            {"StringEquals": {"aws:SourceAccount": common.account}},
                        )
                        for teller in TELLERS
                    ],
                    without_tls("sns:Publish", arn),
                )
            ),
            opts=self._child,
        )
        if self._args.settings.email:
            aws.sns.TopicSubscription(
                name, topic=topic.arn, protocol="email", endpoint=self._args.settings.email, opts=self._child
            )
        return topic

    def _alarm(self, about: str, metric: str, of: dict[str, pulumi.Output[str]], limit: int) -> None:
        namespace, kind, statistic, period_s = METRICS[metric]
        aws.cloudwatch.MetricAlarm(
            f"{about}-{kind}",
            name=self._args.common.names.of(about, kind),
            alarm_description=f"{metric} of {about} is at least {limit}",
            namespace=namespace,
            metric_name=metric,
            dimensions=of,
            statistic=statistic,
            period=period_s,
            evaluation_periods=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            threshold=limit,
            treat_missing_data="notBreaching",
            alarm_actions=[self._topic.arn],
            ok_actions=[self._topic.arn],
            tags={"agent": about},
            opts=self._child,
        )

    def _budget(self, name: str, usd: float) -> None:
        aws.budgets.Budget(
            name,
            name=self._args.common.names.of("month"),
            budget_type="COST",
            limit_amount=str(usd),
            limit_unit="USD",
            time_unit="MONTHLY",
            # the tag counts from the day on which somebody makes it a cost allocation tag of the account
            cost_filters=[{"name": "TagKeyValue", "values": [f"user:stack${self._args.common.names.prefix}"]}],
            notifications=[
                {
                    "comparison_operator": "GREATER_THAN",
                    "threshold": 100,
                    "threshold_type": "PERCENTAGE",
                    "notification_type": "FORECASTED",
                    "subscriber_sns_topic_arns": [self._topic.arn],
                }
            ],
            opts=self._child,
        )
