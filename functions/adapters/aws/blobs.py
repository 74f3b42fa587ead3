"""The `Blobs` port on a bucket of S3, whose lifecycle removes them."""

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

DELIVERIES: Final = "blobs/deliveries/"  # claim checks and outputs: the lifecycle removes them
PASSAGES: Final = "blobs/passages/"  # long texts of collections: they stay as long as their points


class S3Blobs:
    """See `Blobs`. What botocore raises comes out, but for a key that is not there.

    Args:
        client: Of S3.
        bucket: Its name.
        prefix: What every key begins with there; with a / at the end.
    """

    def __init__(self, client: "S3Client", bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = prefix

    def put(self, key: str, data: bytes) -> None:
        """See `Blobs.put`."""
        self._client.put_object(Bucket=self._bucket, Key=f"{self._prefix}{key}", Body=data)

    def get(self, key: str) -> bytes:
        """See `Blobs.get`."""
        try:
            found = self._client.get_object(Bucket=self._bucket, Key=f"{self._prefix}{key}")
        except self._client.exceptions.NoSuchKey as error:
            raise KeyError(key) from error
        data: bytes = found["Body"].read()
        return data
