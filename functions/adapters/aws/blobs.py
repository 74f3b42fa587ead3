"""The `KeptBlobs` port on a bucket of S3, whose lifecycle removes what nobody does."""

import logging
import re
from collections.abc import Iterable, Sequence
from typing import Final

from functions.adapters.aws.client import S3, Aws, AwsError, quoted
from functions.adapters.rest import Reply

_KEY: Final = re.compile(r"<Key>([^<]*)</Key>")
_NEXT: Final = re.compile(r"<NextContinuationToken>([^<]*)</NextContinuationToken>")
#: How S3 says which right is missing, where it does; that to list is missing where a key is not there.
_OTHER_RIGHT: Final = re.compile(r"not authorized to perform: (?!s3:ListBucket\b)")
OCTETS: Final = {"content-type": "application/octet-stream"}

DELIVERIES: Final = "blobs/deliveries/"  # claim checks and outputs: the lifecycle removes them
TEXTS: Final = "blobs/texts/"  # of passages that are too long for a payload: they stay as long as those


log = logging.getLogger("troupe.blobs")


class S3Blobs:
    """See `KeptBlobs`. What the client raises comes out, but for a key that is not there.

    Args:
        aws: The client.
        bucket: Its name.
        prefix: What every key begins with there; with a / at the end.
    """

    def __init__(self, aws: Aws, bucket: str, prefix: str) -> None:
        self._aws = aws
        self._prefix = prefix
        self._url, self._before = aws.bucket(bucket)

    def put(self, key: str, data: bytes) -> None:
        """See `Blobs.put`."""
        self._aws.send(S3, "PUT", self._path(key), headers=OCTETS, body=data, read=_nothing, url=self._url)

    def get(self, key: str) -> bytes:
        """See `Blobs.get`.

        To a role that may not list the bucket, S3 answers for a key that is not there as for one that may not be read.
        No role here may list what it only reads, so that this is taken for a key that is not there, and logged; but
        not where S3 names another right that is missing.
        """
        try:
            return self._aws.send(S3, "GET", self._path(key), read=lambda reply: reply.body, url=self._url)
        except AwsError as error:
            if error.code == "AccessDenied" and not _OTHER_RIGHT.search(error.said):
                log.warning("%s%s is not there, or this role may not read it: %s", self._prefix, key, error.said)
            elif error.code != "NoSuchKey":
                raise
            raise KeyError(key) from error

    def keys(self, *prefixes: str) -> Sequence[str]:
        """See `KeptBlobs.keys`; the prefix of all is a part of none."""
        return sorted({key for prefix in prefixes for key in self._listed(prefix)})

    def remove(self, names: Iterable[str]) -> None:
        """See `KeptBlobs.remove`."""
        for name in names:
            self._aws.send(S3, "DELETE", self._path(name), read=_nothing, url=self._url)

    def _path(self, key: str) -> str:
        return self._before + quoted(f"{self._prefix}{key}")

    def _listed(self, prefix: str) -> list[str]:
        found, query = list[str](), {"list-type": "2", "prefix": f"{self._prefix}{prefix}"}
        while True:
            page = self._aws.send(S3, "GET", self._before, query=query, read=_text, url=self._url)
            found += [key.removeprefix(self._prefix) for key in _KEY.findall(page)]
            following = _NEXT.search(page)
            if following is None:
                return found
            query["continuation-token"] = following[1]


def _nothing(_: Reply) -> None:
    """The answer says no more than its status."""


def _text(reply: Reply) -> str:
    return reply.body.decode()
