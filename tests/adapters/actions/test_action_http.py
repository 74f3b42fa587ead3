"""Where a connection goes: to an address that was checked, for the host that was meant, and nowhere else."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_network
from pathlib import Path

import pytest
from action_desk import Desk
from action_server import ActionServer, ok, said, serving_actions, wait_until

from functions.adapters.actions.http import AddressRefusedError, Answer, NotSentError, connected
from functions.adapters.actions.settings import Target
from functions.errors import PermanentError
from functions.ports.actions import ActionError

LOCAL = (ip_network("127.0.0.0/8"),)
NAMED = {"url": '"http://api.example.org:{port}/do"', "allow": '["api.example.org"]'}


def named(server: ActionServer, **more: str) -> dict[str, str]:
    """The action under a name, which a test resolves."""
    return {key: value.format(port=server.port) for key, value in NAMED.items()} | more


class Names:
    """A resolver that gives each of these answers in turn."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self.answers = list(answers)
        self.asked = 0

    def __call__(self, host: str, port: int) -> Sequence[str]:
        del port
        assert host == "api.example.org"
        self.asked += 1
        return self.answers.pop(0)


def test_the_address_that_was_checked_is_the_one_that_is_connected_to(desk: Desk, server: ActionServer) -> None:
    """A name that is public when it is checked, and private when it is connected to, is asked once only."""
    names = Names(["127.0.0.1"], ["127.0.0.2"])
    desk.attempt(server, named(server), resolve=names).invoke("notify", "x")
    assert names.asked == 1
    ((_, _, headers, _),) = server.requests
    assert headers["Host"] == f"api.example.org:{server.port}"


@pytest.mark.parametrize(
    "addresses",
    [
        ["127.0.0.1"],
        ["93.184.216.34", "127.0.0.1"],
        ["127.0.0.1", "93.184.216.34"],
        ["2606:4700::1111", "::ffff:127.0.0.1"],
        ["93.184.216.34", "169.254.169.254"],
    ],
)
def test_a_name_with_one_address_that_is_not_allowed_is_not_connected_to_at_all(
    desk: Desk, server: ActionServer, addresses: list[str]
) -> None:
    attempt = desk.attempt(server, named(server, private="[]"), resolve=Names(addresses))
    with pytest.raises(PermanentError, match=r"which is not public.*actions\.notify\.private") as raised:
        attempt.invoke("notify", "x")
    assert raised.value.reason == "address refused"
    assert server.requests == []
    assert desk.statuses() == []


def test_a_name_that_was_public_at_the_first_attempt_and_is_private_at_the_next_is_refused_then(
    desk: Desk, server: ActionServer
) -> None:
    names = Names(["127.0.0.1"], ["10.0.0.1"])
    desk.attempt(server, named(server), resolve=names).invoke("notify", "x")
    with pytest.raises(PermanentError, match=r"10\.0\.0\.1"):
        desk.attempt(server, named(server), resolve=names, origin="another").invoke("notify", "x")


def test_the_next_address_is_tried_where_one_does_not_answer(desk: Desk, server: ActionServer) -> None:
    more = named(server, private='["127.0.0.0/8"]')
    desk.attempt(server, more, resolve=Names(["127.0.0.99", "127.0.0.1"])).invoke("notify", "x")
    assert len(server.requests) == 1


@pytest.mark.parametrize("error", [socket.gaierror(-2, "Name or service not known"), UnicodeError("label too long")])
def test_a_name_that_is_not_found_is_retried(desk: Desk, server: ActionServer, error: Exception) -> None:
    def fail(_host: str, _port: int) -> Sequence[str]:
        raise error

    for resolve in (fail, Names([])):
        with pytest.raises(ActionError, match=r"api\.example\.org could not be found"):
            desk.attempt(server, named(server), resolve=resolve).invoke("notify", "x")
    assert desk.statuses() == []


def test_a_resolver_that_hangs_is_left_behind(desk: Desk, server: ActionServer) -> None:
    ended = threading.Event()

    def hang(_host: str, _port: int) -> Sequence[str]:
        ended.wait()
        return ["127.0.0.1"]

    with pytest.raises(ActionError, match="not resolved in time"):
        desk.attempt(server, named(server, timeout_s="0.2"), resolve=hang).invoke("notify", "x")
    ended.set()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_no_redirect_is_followed(desk: Desk, server: ActionServer, status: int) -> None:
    with serving_actions() as inside:
        server.behaviours = [said(status, "", ("Location", inside.url))]
        with pytest.raises(PermanentError, match=f"answered {status}"):
            desk.attempt(server).invoke("notify", "x")
        assert inside.requests == []


def test_no_proxy_of_the_environment_is_asked(desk: Desk, server: ActionServer) -> None:
    """The fixture names one that is not there."""
    server.behaviours = [ok("straight")]
    assert desk.attempt(server).invoke("notify", "x").text == "straight"


def test_no_header_can_be_smuggled_in(desk: Desk, server: ActionServer) -> None:
    desk.environment["NAME"] = "good"
    attempt = desk.attempt(server, {"headers": '{ X-Key = "secret:NAME" }'})
    desk.environment["NAME"] = "bad\r\nX-Evil: 1"
    with pytest.raises(PermanentError, match="the secret NAME holds") as raised:
        attempt.invoke("notify", "x")
    assert raised.value.reason == "secret missing"
    assert server.requests == []


# ---------------------------------------------------------------------------------------------------------- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of api.example.org, signed by itself: certificate and key in one file."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.fail("install openssl: it makes the certificate of this test")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(  # noqa: S603 - every argument is this test's own
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-days", "2", "-subj", "/CN=api.example.org", "-addext", "subjectAltName=DNS:api.example.org"),
            *("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")),
        ],
        check=True,
        capture_output=True,
    )
    file = folder / "both.pem"
    file.write_bytes((folder / "key.pem").read_bytes() + (folder / "cert.pem").read_bytes())
    return file


@contextmanager
def secured(certificate: Path) -> Iterator[tuple[int, list[bytes | str]]]:
    """A TLS server that answers one request; its port, and the name and the bytes that came."""
    seen: list[bytes | str] = []
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _socket, name, _context: seen.append(name or "")
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        try:
            accepted, _ = listening.accept()
            with context.wrap_socket(accepted, server_side=True) as connection:
                received = b""
                while b"\r\n\r\n{}" not in received:
                    received += connection.recv(65536)
                seen.append(received)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        except OSError:  # the client left
            pass

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listening.getsockname()[1], seen
    finally:
        socket.socket.shutdown(listening, socket.SHUT_RDWR)
        listening.close()
        thread.join()


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=certificate)


def exchange(port: int, context: ssl.SSLContext, host: str = "api.example.org") -> Answer:
    target = Target(secure=True, host=host, port=port, path="/do?a=1", private=LOCAL)
    ends = time.monotonic() + 30
    with connected(target, ends, resolve=lambda _host, _port: ["127.0.0.1"], tls=lambda: context) as connection:
        return connection.exchange("POST", {"X-A": "b"}, b"{}", max_bytes=100)


def test_tls_asks_for_the_host_by_name_and_checks_its_certificate(certificate: Path) -> None:
    with secured(certificate) as (port, seen):
        answer = exchange(port, trusting(certificate))
    assert (answer.status, answer.body) == (200, b"ok")
    name, received = seen
    assert name == "api.example.org"
    assert isinstance(received, bytes)
    assert received.startswith(b"POST /do?a=1 HTTP/1.1\r\nHost: api.example.org:%d\r\n" % port)


@pytest.mark.parametrize("host", ["other.example.org", "127.0.0.1"])
def test_a_certificate_of_another_host_is_refused_before_anything_is_sent(certificate: Path, host: str) -> None:
    with secured(certificate) as (port, seen):
        with pytest.raises(NotSentError, match="certificate verify failed"):
            exchange(port, trusting(certificate), host)
        wait_until(lambda: bool(seen))
    assert not any(isinstance(each, bytes) for each in seen)


def test_a_certificate_that_nobody_vouches_for_is_refused(certificate: Path) -> None:
    with secured(certificate) as (port, _), pytest.raises(NotSentError, match="certificate verify failed"):
        exchange(port, ssl.create_default_context())


def test_a_server_that_speaks_no_tls_was_sent_nothing(server: ActionServer) -> None:
    with pytest.raises(NotSentError, match="could not be reached"):
        exchange(server.port, ssl.create_default_context())
    assert server.requests == []


def test_a_handshake_that_hangs_is_cut_off() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        target = Target(secure=True, host="127.0.0.1", port=silent.getsockname()[1], path="/", private=LOCAL)
        with (
            pytest.raises(NotSentError, match="could not be reached"),
            connected(target, time.monotonic() + 0.2, tls=ssl.create_default_context),
        ):
            pytest.fail("nobody answered")


def test_a_refused_address_is_told_from_one_that_does_not_answer() -> None:
    target = Target(secure=False, host="127.0.0.1", port=9, path="/", private=())
    with pytest.raises(AddressRefusedError), connected(target, time.monotonic() + 5):
        pytest.fail("it was connected to")
