"""S3 tells the queue of `uploads` of every object below `documents/`.

It could call the function itself, but Lambda discards what failed three times within minutes. A message stays in the
queue until it is taken, and else falls into the net.
"""

import pulumi
import pulumi_aws as aws

from infra.aws.event_route import EventRoute
from infra.components.blob_store import DOCUMENTS
from infra.components.ingest import IngestArgs


class Ingest(pulumi.ComponentResource):
    """See `infra.components.ingest`."""

    def __init__(self, name: str, args: IngestArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("troupe:aws:Ingest", name, {}, opts)
        # S3 sends a message at once to see whether it may, and the queue's policy has no output that says so
        after = [args.route] if isinstance(args.route, EventRoute) else []
        aws.s3.BucketNotification(
            name,
            bucket=args.blobs.name,
            queues=[{"queue_arn": args.route.queue_arn, "events": ["s3:ObjectCreated:*"], "filter_prefix": DOCUMENTS}],
            opts=pulumi.ResourceOptions(parent=self, depends_on=after),
        )
        self.register_outputs({})
