"""S3 tells `uploads` of every object below `documents/`, and tries again for hours where it does not take it."""

import pulumi
import pulumi_aws as aws

from infra.components.blob_store import DOCUMENTS
from infra.components.ingest import IngestArgs


class Ingest(pulumi.ComponentResource):
    """See `infra.components.ingest`."""

    def __init__(self, name: str, args: IngestArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:Ingest", name, {}, opts)
        permission = aws.lambda_.Permission(
            name,
            action="lambda:InvokeFunction",
            function=args.uploads.name,
            qualifier=args.uploads.qualifier,
            principal="s3.amazonaws.com",
            source_arn=args.blobs.arn,
            source_account=args.common.account,  # a bucket's ARN does not say whose it is
            opts=pulumi.ResourceOptions(parent=self),
        )
        aws.s3.BucketNotification(
            name,
            bucket=args.blobs.name,
            lambda_functions=[
                {
                    "lambda_function_arn": args.uploads.target,
                    "events": ["s3:ObjectCreated:*"],
                    "filter_prefix": DOCUMENTS,
                }
            ],
            # S3 asks at once whether it may call the function, and the permission has no output that says so
            opts=pulumi.ResourceOptions(parent=self, depends_on=[permission]),
        )
        self.register_outputs({})
