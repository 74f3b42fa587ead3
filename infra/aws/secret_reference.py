"""Secrets Manager: a role needs the whole ARN, whose last characters only AWS knows, so each name is looked up."""

import pulumi
import pulumi_aws as aws

from functions.errors import TroupeError
from infra.components.secret_reference import SecretReferencesArgs


class SecretError(TroupeError):
    """References lead nowhere; the message lists all of them."""


def secret_references(args: SecretReferencesArgs, opts: pulumi.InvokeOptions) -> dict[str, str]:
    """The ARN of each secret, by what it is for. A reference that leads nowhere is not shown: it may be a password.

    Raises:
        SecretError: Some are not there.
    """
    found, problems = {}, []
    for purpose, reference in sorted(args.references.items()):
        is_arn = reference.startswith("arn:")
        try:
            found[purpose] = aws.secretsmanager.get_secret(
                arn=reference if is_arn else None, name=None if is_arn else reference, opts=opts
            ).arn
        except Exception as error:  # noqa: BLE001 - what an invoke raises has no type of its own
            problems.append(
                f"troupe:secrets.{purpose}: no secret of that name can be read about in {args.common.region}: make it "
                "(aws secretsmanager create-secret --name …) or correct the reference. AWS says: "
                f"{str(error).replace(reference, '…')}"
            )
    if problems:
        raise SecretError("\n".join(problems))
    return found
