"""A schedule of EventBridge Scheduler, under a role that may call the one function and nothing else."""

import pulumi
import pulumi_aws as aws

from infra.aws.policies import SCHEDULER, document, trust
from infra.components.schedule import ScheduleArgs


class Schedule(pulumi.ComponentResource):
    """See `infra.components.schedule`."""

    def __init__(self, name: str, args: ScheduleArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:Schedule", name, {}, opts)
        child = pulumi.ResourceOptions(parent=self)
        role = aws.iam.Role(
            name,
            name=args.common.names.of(args.called, "schedule"),
            assume_role_policy=trust(SCHEDULER, args.common.account),
            permissions_boundary=args.common.permissions_boundary or None,
            opts=child,
        )
        aws.iam.RolePolicy(
            name,
            name="call",
            role=role.name,
            policy=args.function.target.apply(
                lambda arn: document({"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": arn})
            ),
            opts=child,
        )
        aws.scheduler.Schedule(
            name,
            name=args.common.names.of(args.called),
            schedule_expression=f"rate({args.every})",
            flexible_time_window={"mode": "OFF"},
            target={
                "arn": args.function.target,
                "role_arn": role.arn,
                "input": args.says,
                "retry_policy": {"maximum_retry_attempts": 0},  # the next one comes anyway
            },
            opts=child,
        )
        self.register_outputs({})
