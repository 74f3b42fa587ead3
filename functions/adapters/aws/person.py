"""Who a person is on AWS, as boto3 finds out: keys, a profile, a sign-in, a role; for what a person does to a stack."""

from collections.abc import Mapping
from contextlib import closing

import msgspec

from functions.adapters.aws.client import OTHER_REGION, REGION
from functions.adapters.aws.credentials import KEY_ID, SECRET, TOKEN
from functions.errors import TroupeError


class PersonError(TroupeError):
    """Nobody knows who this is on AWS."""


class Person(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody whom AWS knows.

    Attributes:
        account: Whose resources are meant.
        region: Where these are.
        environment: What `Aws` reads, with the credentials as they were just now.
    """

    account: str
    region: str
    environment: Mapping[str, str]

    def __repr__(self) -> str:
        return f"<somebody of the account {self.account} in {self.region}>"


def person(environment: Mapping[str, str]) -> Person:
    """Who this process is on AWS.

    Args:
        environment: Of this process: boto3 reads it too, and the files that it names.

    Raises:
        PersonError: boto3 is not installed, there are no credentials or no region, or AWS refused them.
    """
    try:
        import boto3  # noqa: PLC0415 - slow, and not for functions
        from botocore.exceptions import BotoCoreError, ClientError  # noqa: PLC0415 - beside it
    except ModuleNotFoundError as error:
        raise PersonError(
            "a stack is opened with boto3, which is not installed: run `sh .ci/set-up deploy`, or `uv sync --group aws`"
        ) from error
    try:
        session = boto3.Session(region_name=environment.get(REGION) or None)
        region, found = session.region_name, session.get_credentials()
        if found is None:
            raise PersonError(
                "no credentials of AWS: sign in (`aws configure`, `aws sso login`), or name a profile in AWS_PROFILE"
            )
        if not region:
            raise PersonError(f"no region of AWS: set {REGION} to that of the stack, or a region in the profile")
        keys = found.get_frozen_credentials()
        with closing(session.client("sts", region_name=region)) as sts:
            account = str(sts.get_caller_identity()["Account"])
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")  # the rest may repeat what was signed
        raise PersonError(f"AWS refused these credentials ({code}): sign in again, or name another profile") from None
    except BotoCoreError as error:
        raise PersonError(f"AWS could not be asked who this is: {error}") from error
    signed = {KEY_ID: keys.access_key, SECRET: keys.secret_key, TOKEN: keys.token or ""}
    return Person(
        account=account, region=region, environment={**environment, REGION: region, OTHER_REGION: region, **signed}
    )
