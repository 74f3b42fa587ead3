"""A key of KMS that rotates. Its policy lets roles in by their own policies, and services where they act for the stack.

A queue that is encrypted with a key of ours takes events from EventBridge only if the key's policy says so, too; the
same goes for log groups, and for the topic that alarms are told by.
"""

from typing import Any

import pulumi
import pulumi_aws as aws

from infra.aws.policies import EVENTS, S3, document, service
from infra.components.common import Common
from infra.components.encryption import EncryptionArgs

USE = ("kms:Decrypt", "kms:GenerateDataKey")
DAYS_TO_THINK = 30


class Encryption(pulumi.ComponentResource):
    """See `infra.components.encryption`."""

    def __init__(self, name: str, args: EncryptionArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:Encryption", name, {}, opts)
        common = args.common
        key = aws.kms.Key(
            name,
            description=f"What {common.names.prefix} keeps",
            enable_key_rotation=True,
            deletion_window_in_days=DAYS_TO_THINK,
            policy=document(*_policy(common)),
            opts=pulumi.ResourceOptions(parent=self, protect=common.protect, retain_on_delete=common.protect),
        )
        alias = f"alias/{common.names.prefix}"
        aws.kms.Alias(name, name=alias, target_key_id=key.key_id, opts=pulumi.ResourceOptions(parent=self))
        self.key = key.arn
        self.register_outputs({"key": self.key})


def _policy(common: Common) -> list[dict[str, Any]]:
    """A key's policy stands on the key, so its resource is `*`: that one key."""
    ours = {"StringEquals": {"aws:SourceAccount": common.account}}
    groups = f"arn:aws:logs:{common.region}:{common.account}:log-group:*"
    of_groups = {"ArnLike": {"kms:EncryptionContext:aws:logs:arn": groups}}
    return [
        {
            "Sid": "Account",
            "Effect": "Allow",
            "Principal": {"AWS": f"arn:aws:iam::{common.account}:root"},
            "Action": "kms:*",  # without this the key could never be changed again: KMS refuses such a policy
            "Resource": "*",
        },
        service("Events", EVENTS, [*USE, "kms:DescribeKey"], "*", ours),
        service("Objects", S3, USE, "*", ours),  # it tells a queue of each
        service("Alarms", "cloudwatch.amazonaws.com", USE, "*", ours),
        service("Budget", "budgets.amazonaws.com", USE, "*", ours),
        service(
            "Logs", f"logs.{common.region}.amazonaws.com", [*USE, "kms:Encrypt", "kms:DescribeKey"], "*", of_groups
        ),
    ]
