"""A bucket of S3 that nobody outside the account sees. What deliveries left in it expires; passages and plans stay."""

import pulumi
import pulumi_aws as aws

from functions.adapters.aws.blobs import DELIVERIES
from functions.ports.conversations import TTL_DAYS
from functions.runtime.plans import frozen
from infra.aws.policies import document, without_tls
from infra.components.blob_store import PLANS, BlobStoreArgs

BLOB_DAYS = 2 * TTL_DAYS + 1  # the first event of a request is kept so long after its deadline
BEFORE_DAYS = 30  # what was overwritten or removed can be had back, where data is protected
UPLOAD_DAYS = 1  # of one that was never finished


class BlobStore(pulumi.ComponentResource):
    """See `infra.components.blob_store`."""

    def __init__(self, name: str, args: BlobStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:BlobStore", name, {}, opts)
        common = args.common
        child = pulumi.ResourceOptions(parent=self, retain_on_delete=common.protect)  # what closes it stays with it
        bucket = aws.s3.Bucket(
            name,
            bucket=common.names.of(common.account),
            force_destroy=not common.protect,
            opts=pulumi.ResourceOptions(parent=self, protect=common.protect, retain_on_delete=common.protect),
        )
        aws.s3.BucketPublicAccessBlock(
            name,
            bucket=bucket.bucket,
            block_public_acls=True,
            block_public_policy=True,
            ignore_public_acls=True,
            restrict_public_buckets=True,
            opts=child,
        )
        aws.s3.BucketOwnershipControls(
            name, bucket=bucket.bucket, rule={"object_ownership": "BucketOwnerEnforced"}, opts=child
        )
        aws.s3.BucketServerSideEncryptionConfiguration(
            name, bucket=bucket.bucket, rules=[_encryption(common.key)], opts=child
        )
        aws.s3.BucketPolicy(
            name,
            bucket=bucket.bucket,
            policy=bucket.arn.apply(lambda arn: document(without_tls("s3:*", arn, f"{arn}/*"))),
            opts=child,
        )
        if common.protect:
            aws.s3.BucketVersioning(
                name, bucket=bucket.bucket, versioning_configuration={"status": "Enabled"}, opts=child
            )
        aws.s3.BucketLifecycleConfiguration(name, bucket=bucket.bucket, rules=_lifecycle(), opts=child)
        for plan in args.plans:
            key = f"{PLANS}{plan.workflow.name}/{plan.version}"
            aws.s3.BucketObjectv2(
                f"{name}-{key.replace('/', '-')}",
                bucket=bucket.bucket,
                key=key,
                content=frozen(plan).decode(),
                content_type="application/json",
                # a request of this plan may still be under way when a deploy brings the next one
                opts=pulumi.ResourceOptions(parent=self, retain_on_delete=True),
            )
        self.name, self.arn = bucket.bucket, bucket.arn
        self.register_outputs({"name": self.name, "arn": self.arn})


def _encryption(key: pulumi.Input[str] | None) -> aws.s3.BucketServerSideEncryptionConfigurationRuleArgs:
    by_default = aws.s3.BucketServerSideEncryptionConfigurationRuleApplyServerSideEncryptionByDefaultArgs(
        sse_algorithm="aws:kms" if key else "AES256", kms_master_key_id=key
    )
    return aws.s3.BucketServerSideEncryptionConfigurationRuleArgs(
        apply_server_side_encryption_by_default=by_default, bucket_key_enabled=key is not None
    )


def _lifecycle() -> list[aws.s3.BucketLifecycleConfigurationRuleArgsDict]:
    return [
        {
            "id": "deliveries",
            "status": "Enabled",
            "filter": {"prefix": DELIVERIES},
            "expiration": {"days": BLOB_DAYS},
        },
        {
            "id": "before",
            "status": "Enabled",
            "filter": {"prefix": ""},
            "noncurrent_version_expiration": {"noncurrent_days": BEFORE_DAYS},
            "abort_incomplete_multipart_upload": {"days_after_initiation": UPLOAD_DAYS},
        },
    ]
