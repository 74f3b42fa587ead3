"""Messages to WebSocket connections go to the API's own address, signed, and a closed connection is told apart."""

from collections.abc import Iterator

import pytest
from rest_server import Answer, Server, serving

from functions.adapters.aws.client import Aws, AwsError
from functions.adapters.aws.connections import Connections
from functions.ports.sockets import ConnectionGoneError


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        yield opened


@pytest.fixture
def connections(server: Server) -> Iterator[Connections]:
    environment = {"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "A", "AWS_SECRET_ACCESS_KEY": "S"}
    aws = Aws(environment)
    yield Connections(aws, f"{server.url}/live")
    aws.close()


def test_a_message_is_posted_below_the_stage_with_the_connection_quoted(
    server: Server, connections: Connections
) -> None:
    connections.post("L0SM9c/OFv=", b'{"event":"pong"}')
    (asked,) = server.asked
    assert (asked.method, asked.path) == ("POST", "/live/@connections/L0SM9c%2FOFv%3D")
    assert asked.body == b'{"event":"pong"}'
    assert "/us-east-1/execute-api/aws4_request" in asked.headers["authorization"]


def test_a_closed_connection_is_gone(server: Server, connections: Connections) -> None:
    server.script = lambda _: Answer(status=410, body=b"", headers={"x-amzn-errortype": "GoneException"})
    with pytest.raises(ConnectionGoneError):
        connections.post("c=", b"{}")
    assert len(server.asked) == 1


def test_another_refusal_is_no_closed_connection(server: Server, connections: Connections) -> None:
    server.script = lambda _: Answer(status=403, body=b'{"message": "Forbidden"}')
    with pytest.raises(AwsError, match="Forbidden"):
        connections.post("c=", b"{}")
