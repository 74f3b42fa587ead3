"""What every component of a stack is told."""

from dataclasses import dataclass

import pulumi

from infra.naming import Names


@dataclass(frozen=True, kw_only=True)
class Common:
    """The stack that a component belongs to.

    Attributes:
        names: How everything is called.
        account: The number of the account.
        region: Where it is.
        protect: Whether data outlives a deploy that leaves it out.
        permissions_boundary: The ARN of a policy that bounds every role; empty for none.
        key: The ARN of the key that encrypts; None where the cloud's own keys do.
    """

    names: Names
    account: str
    region: str
    protect: bool
    permissions_boundary: str = ""
    key: pulumi.Input[str] | None = None


@dataclass(frozen=True, kw_only=True)
class Platform:
    """What the functions of a stack run on.

    Attributes:
        runtime: Of the language, e.g. `python3.13`.
        architecture: Of the processors.
        log_level: From which level on a line is kept.
        log_retention_days: How long.
        canary_percent: How much of the traffic a new version gets; 0 for all of it at once.
        subnets: Where functions stand; none outside a network of ours.
        security_groups: What they are members of there.
    """

    runtime: str
    architecture: str
    log_level: str
    log_retention_days: int
    canary_percent: int = 0
    subnets: tuple[pulumi.Input[str], ...] = ()
    security_groups: tuple[pulumi.Input[str], ...] = ()
