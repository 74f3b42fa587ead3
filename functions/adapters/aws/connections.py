"""Messages to the connections of a WebSocket API, which API Gateway holds open."""

from typing import Final
from urllib.parse import quote

from functions.adapters.aws.client import Aws, AwsError, Service
from functions.ports.sockets import ConnectionGoneError

MANAGEMENT: Final = Service("execute-api", "APIGATEWAYMANAGEMENTAPI")
GONE: Final = 410


class Connections:
    """Posts to connections.

    Args:
        aws: The client.
        url: Where they are posted to: of the API and its stage.
    """

    def __init__(self, aws: Aws, url: str) -> None:
        self._aws = aws
        self._url = url

    def post(self, name: str, message: bytes) -> None:
        """Send a message.

        Raises:
            ConnectionGoneError: The connection is closed.
            AwsError: API Gateway did not take it.
        """
        path = f"/@connections/{quote(name, safe='')}"
        headers = {"content-type": "application/octet-stream"}
        try:
            self._aws.send(
                MANAGEMENT, "POST", path, headers=headers, body=message, read=lambda _reply: None, url=self._url
            )
        except AwsError as error:
            if error.status == GONE:
                raise ConnectionGoneError(f"the connection {name} is closed") from error
            raise
