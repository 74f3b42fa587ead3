"""One table of DynamoDB, paid by the request. Attributes and indexes are those of `functions.adapters.aws.items`."""

import pulumi
import pulumi_aws as aws

from functions.adapters.aws.items import BY_DUE, BY_TIME
from infra.components.state_store import StateStoreArgs

KEPT_DAYS = 35  # of what the table held before: the longest that DynamoDB takes


class StateStore(pulumi.ComponentResource):
    """See `infra.components.state_store`."""

    def __init__(self, name: str, args: StateStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:StateStore", name, {}, opts)
        common = args.common
        table = aws.dynamodb.Table(
            name,
            name=common.names.prefix,
            billing_mode="PAY_PER_REQUEST",
            hash_key="pk",
            range_key="sk",
            attributes=[
                {"name": "pk", "type": "S"},
                {"name": "sk", "type": "S"},
                {"name": "at", "type": "N"},
                {"name": "due_group", "type": "S"},
                {"name": "due_at", "type": "N"},
            ],
            local_secondary_indexes=[{"name": BY_TIME, "range_key": "at", "projection_type": "ALL"}],
            global_secondary_indexes=[
                {
                    "name": BY_DUE,
                    "key_schemas": [
                        {"attribute_name": "due_group", "key_type": "HASH"},
                        {"attribute_name": "due_at", "key_type": "RANGE"},
                    ],
                    "projection_type": "KEYS_ONLY",
                }
            ],
            ttl={"attribute_name": "expires_at", "enabled": True},
            server_side_encryption=_encryption(common.key) if common.key else None,
            point_in_time_recovery=aws.dynamodb.TablePointInTimeRecoveryArgs(
                enabled=common.protect, recovery_period_in_days=KEPT_DAYS if common.protect else None
            ),
            deletion_protection_enabled=common.protect,
            opts=pulumi.ResourceOptions(parent=self, protect=common.protect, retain_on_delete=common.protect),
        )
        self.name, self.arn = table.name, table.arn
        self.register_outputs({"name": self.name, "arn": self.arn})


def _encryption(key: pulumi.Input[str]) -> aws.dynamodb.TableServerSideEncryptionArgs:
    """Without this, a key of DynamoDB's own encrypts."""
    return aws.dynamodb.TableServerSideEncryptionArgs(enabled=True, kms_key_arn=key)
