"""What AWS takes: its regions, how long names may be and of which characters, how large what a function is given.

Regions and names are those of botocore's service models, which a test holds them to; the bucket's rule is S3's own,
from "General purpose bucket naming rules", the sizes are quotas of IAM and of Lambda, which nobody can raise.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from infra.naming import Limit, Names

#: Commercial ones that have Lambda: China's and GovCloud's have other ARNs and other principals.
# fmt: off
REGIONS: Final = frozenset((
    "af-south-1", "ap-east-1", "ap-east-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3", "ap-south-1",
    "ap-south-2", "ap-southeast-1", "ap-southeast-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5",
    "ap-southeast-6", "ap-southeast-7", "ca-central-1", "ca-west-1", "eu-central-1", "eu-central-2", "eu-north-1",
    "eu-south-1", "eu-south-2", "eu-west-1", "eu-west-2", "eu-west-3", "il-central-1", "me-central-1", "me-south-1",
    "mx-central-1", "sa-east-1", "us-east-1", "us-east-2", "us-west-1", "us-west-2",
))
# fmt: on

BUS: Final = Limit("an event bus", 256, r"[/.\-_A-Za-z0-9]+")
RULE: Final = Limit("a rule of EventBridge", 64, r"[.\-_A-Za-z0-9]+")
QUEUE: Final = Limit("a queue of SQS", 80, r"[A-Za-z0-9_-]+")
FUNCTION: Final = Limit("a Lambda function", 64, r"[a-zA-Z0-9_-]+")
ROLE: Final = Limit("an IAM role", 64, r"[\w+=,.@-]+")
TABLE: Final = Limit("a DynamoDB table", 255, r"[a-zA-Z0-9_.-]{3,}")
LOG_GROUP: Final = Limit("a log group", 512, r"[\.\-_/#A-Za-z0-9]+")
SCHEDULE: Final = Limit("a schedule", 64, r"[0-9a-zA-Z-_.]+")
POLICY: Final = 10_240  # characters of all policies inside a role together, without white space
ENVIRONMENT: Final = 4_096  # bytes of all variables of a function together
BUCKET: Final = Limit("a bucket of S3", 63, r"[a-z0-9][a-z0-9.-]+[a-z0-9]")

#: Functions of every stack beside its agents.
SERVICES: Final = ("api", "socket", "authorizer", "desk", "pusher", "sweeper", "keeper", "uploads")
#: What is called again and again, each under a role of its own.
SCHEDULES: Final = ("sweeper", "keeper-ensure", "keeper-erase", "keeper-expire")
TAG: Final = 256  # characters of a tag's value
_ACCOUNT: Final = "123456789012"  # as long as every account's number
_DIGEST: Final = "01234567"  # as long as that of what a rule matches


def names(of: Names, agents: Iterable[str]) -> Iterator[tuple[Limit, str]]:
    """What follows from the project's, the stack's and an agent's name, with its limit; no name is there twice."""
    yield BUS, of.prefix
    yield TABLE, of.of()
    yield BUCKET, f"{of.prefix}-{_ACCOUNT}"
    yield QUEUE, of.of("bus", "dead")
    for each in ("vectors", "vectors-snapshots"):
        yield ROLE, of.of(each)
    for each in SCHEDULES:
        yield ROLE, of.of(each, "schedule")
        yield SCHEDULE, of.of(each)
    for each in {*agents, *SERVICES}:
        yield FUNCTION, of.of(each)
        yield ROLE, of.of(each)
        yield QUEUE, of.of(each)
        yield QUEUE, of.of(each, "dead")
        yield RULE, of.of(each, _DIGEST)
        yield LOG_GROUP, f"/aws/lambda/{of.of(each)}"
