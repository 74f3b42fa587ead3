"""A function of Lambda with all that it needs: role, log group, versions, and the alias that everybody calls.

A deploy publishes a version and points the alias at it, so that it is in use at once and everywhere. As a canary, the
alias keeps the version that it pointed at and gives a share to the new one, until the share is set to 0 again.
"""

from dataclasses import dataclass
from typing import Final

import pulumi
import pulumi_aws as aws

from infra.aws.granted import Granted
from infra.aws.policies import LAMBDA, trust
from infra.components.common import Common, Platform
from infra.components.function import FunctionArgs

LIVE: Final = "live"
NOT_THERE: Final = ("ResourceNotFoundException", "couldn't find resource")  # what AWS says, and what its provider does


@dataclass(frozen=True, kw_only=True)
class Made:
    """A function, and the alias that others call."""

    function: aws.lambda_.Function
    alias: aws.lambda_.Alias


def log_group(function: str, common: Common, platform: Platform, parent: pulumi.Resource) -> aws.cloudwatch.LogGroup:
    """Where a function writes; a role's policy names it, so it is made before."""
    return aws.cloudwatch.LogGroup(
        function,
        name=f"/aws/lambda/{common.names.of(function)}",
        retention_in_days=platform.log_retention_days,
        kms_key_id=common.key,
        tags={"agent": function},
        opts=pulumi.ResourceOptions(parent=parent),
    )


def function(args: FunctionArgs, granted: Granted, group: aws.cloudwatch.LogGroup, parent: pulumi.Resource) -> Made:
    """The function under its own role, and what hands it the messages of its queue."""
    child, tags = pulumi.ResourceOptions(parent=parent), {"agent": args.function}
    name = args.common.names.of(args.function)
    role = aws.iam.Role(
        args.function,
        name=name,
        assume_role_policy=trust(LAMBDA),
        permissions_boundary=args.common.permissions_boundary or None,
        tags=tags,
        opts=child,
    )
    policy = aws.iam.RolePolicy(args.function, name="signature", role=role.name, policy=granted.policy, opts=child)
    made = aws.lambda_.Function(
        args.function,
        name=name,
        role=role.arn,
        runtime=args.platform.runtime,
        architectures=[args.platform.architecture],
        handler=args.code.handler,
        s3_bucket=args.code.bucket,
        s3_key=args.code.key,
        source_code_hash=args.code.digest,
        layers=list(args.code.layers) or None,
        memory_size=args.memory_mb,
        timeout=args.timeout_s,
        environment={"variables": granted.environment},
        kms_key_arn=args.common.key,
        logging_config={
            "log_format": "JSON",
            "log_group": group.name,
            "application_log_level": args.platform.log_level,
            "system_log_level": "WARN",
        },
        tracing_config={"mode": "PassThrough"},
        vpc_config=_network(args.platform),
        snap_start=aws.lambda_.FunctionSnapStartArgs(apply_on="PublishedVersions") if args.snap_start else None,
        publish=True,
        tags=tags,
        # in a network Lambda asks at once whether the role may make interfaces; the role's ARN does not wait for that
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[policy] if args.platform.subnets else None),
    )
    alias = _alias(args, made, parent)
    if args.warm:
        aws.lambda_.ProvisionedConcurrencyConfig(
            args.function,
            function_name=made.name,
            qualifier=alias.name,
            provisioned_concurrent_executions=args.warm,
            opts=child,
        )
    if args.function in args.surroundings.routes:
        aws.lambda_.EventSourceMapping(
            args.function,
            function_name=alias.arn,
            event_source_arn=args.surroundings.routes[args.function].queue_arn,
            batch_size=1,
            function_response_types=["ReportBatchItemFailures"],
            scaling_config=_most(args.concurrency),
            tags=tags,
            # Lambda asks at once whether the role may receive from the queue, and the function does not wait for that
            opts=pulumi.ResourceOptions(parent=parent, depends_on=[policy]),
        )
    return Made(function=made, alias=alias)


def _alias(args: FunctionArgs, made: aws.lambda_.Function, parent: pulumi.Resource) -> aws.lambda_.Alias:
    percent = args.platform.canary_percent
    before = version_before(args.common.names.of(args.function), parent) if percent else None

    def shares(new: str) -> aws.lambda_.AliasRoutingConfigArgs | None:
        weights = {new: percent / 100}
        return None if new == before else aws.lambda_.AliasRoutingConfigArgs(additional_version_weights=weights)

    return aws.lambda_.Alias(
        args.function,
        name=LIVE,
        function_name=made.name,
        function_version=before or made.version,
        routing_config=made.version.apply(shares) if before else None,
        opts=pulumi.ResourceOptions(parent=parent),
    )


def version_before(name: str, parent: pulumi.Resource) -> str | None:
    """The version that the alias points at now; None where there is no such function yet, or a deploy ended before it.

    The function is looked for in a list, since asking for one that is not there is an error.
    """
    opts = pulumi.InvokeOptions(parent=parent)
    if name not in aws.lambda_.get_functions(opts=opts).function_names:
        return None
    try:
        return aws.lambda_.get_alias(function_name=name, name=LIVE, opts=opts).function_version
    except Exception as error:  # what an invoke raises has no type of its own
        if any(said in str(error) for said in NOT_THERE):
            return None
        raise


def _most(concurrency: int | None) -> aws.lambda_.EventSourceMappingScalingConfigArgs | None:
    if concurrency is None:
        return None
    return aws.lambda_.EventSourceMappingScalingConfigArgs(maximum_concurrency=concurrency)


def _network(platform: Platform) -> aws.lambda_.FunctionVpcConfigArgs | None:
    if not platform.subnets:
        return None
    return aws.lambda_.FunctionVpcConfigArgs(
        subnet_ids=list(platform.subnets), security_group_ids=list(platform.security_groups)
    )
