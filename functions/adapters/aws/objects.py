"""Objects that somebody put into the bucket."""

from functions.adapters.aws.client import S3, Aws, quoted


class Objects:
    """Reads them, each as it was when S3 told of it.

    Args:
        aws: The client.
        bucket: Its name.
    """

    def __init__(self, aws: Aws, bucket: str) -> None:
        self._aws = aws
        self._url, self._before = aws.bucket(bucket)

    def fetch(self, key: str, version: str) -> bytes:
        """The bytes of an object.

        Args:
            key: Of it.
            version: Of a bucket with versions; else empty.

        Raises:
            AwsError: There is none, or S3 did not answer.
        """
        query = {"versionId": version} if version else None
        found: bytes = self._aws.send(
            S3, "GET", self._before + quoted(key), query=query, read=lambda reply: reply.body, url=self._url
        )
        return found
