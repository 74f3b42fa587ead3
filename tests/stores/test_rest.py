"""How calls to a service over REST are made, made again, and given up."""

import contextlib
import datetime as dt
import ipaddress
import socket
import ssl
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from rest_server import Answer, Asked, Script, Server, serving

from functions.adapters.models.settings import Secret
from functions.adapters.rest import (
    SHOWN_CHARACTERS,
    AgainError,
    ClosedError,
    FailedReplyError,
    NoAnswerError,
    Patience,
    Reply,
    Rest,
    RestError,
    StatusError,
    UnusableKeyError,
)


class Time:
    """A clock that only a wait moves on."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as opened:
        yield opened


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def rest(server: Server, time: Time) -> Iterator[Rest]:
    opened = rest_of(server.url, time)
    yield opened
    opened.close()


def rest_of(url: str, time: Time, **given: Any) -> Rest:
    return Rest(url, product="Engine", clock=time, sleep=time.sleep, chance=lambda: 0.5, **given)


def ask(rest: Rest) -> object:
    return rest.send("POST", "/search", {"q": 1}, answer=dict)


def one_after_another(*answers: Answer) -> Script:
    left = list(answers)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def test_a_call_is_what_was_asked(server: Server, rest: Rest) -> None:
    server.script = lambda asked: Answer(body=b'{"path": "' + asked.path.encode() + b'"}')
    assert rest.send("PUT", "/points?wait=true", {"q": "ü"}, answer=dict, headers={"x": "y"}) == {
        "path": "/points?wait=true"
    }
    (asked,) = server.asked
    assert (asked.method, asked.body, asked.headers["x"]) == ("PUT", '{"q":"ü"}'.encode(), "y")
    assert asked.headers["content-type"] == "application/json"
    assert "authorization" not in asked.headers


def test_calls_share_a_connection(server: Server, rest: Rest) -> None:
    for _ in range(5):
        ask(rest)
    assert (len(server.asked), server.connections) == (5, 1)


def test_threads_have_connections_of_their_own_that_are_kept(server: Server, rest: Rest) -> None:
    together = threading.Barrier(4)

    def meet(_: Asked) -> Answer:
        together.wait(30)
        return Answer()

    server.script = meet
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: [ask(rest) for _ in range(5)], range(4)))
    assert (len(server.asked), server.connections) == (20, 4)


def test_a_connection_that_the_server_closed_meanwhile_is_replaced_without_a_wait(
    server: Server, rest: Rest, time: Time
) -> None:
    server.script = lambda _: Answer(ends=True)
    for _ in range(3):
        assert ask(rest) == {}
    assert (server.connections, time.waits) == (3, [])


def test_a_connection_that_nobody_used_for_long_is_not_trusted(server: Server, rest: Rest, time: Time) -> None:
    ask(rest)
    time.now += 59
    ask(rest)
    time.now += 60
    ask(rest)
    assert (len(server.asked), server.connections) == (3, 2)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again_after_longer_and_longer_waits(
    server: Server, rest: Rest, time: Time, status: int
) -> None:
    busy = Answer(status, b"busy")
    server.script = one_after_another(busy, busy, busy, Answer())
    assert ask(rest) == {}
    assert time.waits == [0.05, 0.1, 0.2]


@pytest.mark.parametrize("bad", [Answer(status=0), Answer(body=b'{"a": 1}', cut=3), Answer(body=b"<html>")])
def test_a_broken_answer_is_asked_for_again(server: Server, rest: Rest, time: Time, bad: Answer) -> None:
    server.script = one_after_another(bad, bad, Answer(body=b'{"good": 1}'))
    assert ask(rest) == {"good": 1}
    assert time.waits == [0.05, 0.1]


def test_a_service_says_when_to_come_back(server: Server, rest: Rest, time: Time) -> None:
    server.script = one_after_another(Answer(429, headers={"retry-after": "3"}), Answer())
    ask(rest)
    assert time.waits == [3.05]


def test_a_service_may_say_it_with_a_date_or_not_make_itself_clear(server: Server, rest: Rest, time: Time) -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=20)
    unclear = [Answer(503, headers={"retry-after": each}) for each in ("soon", "-5", "nan", "1e999x")]
    dated = Answer(503, headers={"retry-after": format_datetime(soon, usegmt=True)})
    server.script = one_after_another(dated, *unclear, Answer())
    ask(rest)
    assert 15 < time.waits[0] <= 20.05
    assert time.waits[1:] == [0.1, 0.2, 0.4, 0.8]


def test_no_wait_goes_past_the_end_of_a_call(server: Server, rest: Rest, time: Time) -> None:
    server.script = lambda _: Answer(503, b"maintenance", {"retry-after": "31"})
    with pytest.raises(NoAnswerError, match=r"Engine at http://localhost:\d+ answered 503: maintenance \(tries: 1,"):
        ask(rest)
    assert time.waits == []


def test_a_call_is_given_up_when_its_time_is_over(server: Server, rest: Rest, time: Time) -> None:
    server.script = lambda _: Answer(500, b"no")
    with pytest.raises(NoAnswerError, match="within 30 s"):
        ask(rest)
    assert 25 < time.now < 30


def test_a_service_that_cannot_be_reached_is_named(time: Time) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    rest = rest_of(f"http://127.0.0.1:{port}", time)
    with pytest.raises(NoAnswerError, match=rf"127\.0\.0\.1:{port} could not be reached .*refused"):
        ask(rest)
    with pytest.raises(NoAnswerError, match="could not be reached"):
        ask(rest_of("http://no.such.host.invalid", time))


def test_a_service_that_says_nothing_is_not_waited_for_longer_than_an_answer_may_take(server: Server) -> None:
    server.script = lambda _: Answer(hangs=True)
    rest = Rest(server.url, product="Engine", patience=Patience(call=0.2, answer=0.05))
    with pytest.raises(NoAnswerError, match="did not answer"):
        ask(rest)
    assert len(server.asked) > 1
    rest.close()


def test_a_service_that_drips_is_cut_off_too() -> None:
    """Every byte comes in time, and the answer never does."""
    stop = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def drip() -> None:
            taken, _ = listening.accept()
            with taken:
                taken.sendall(b"HTTP/1.1 200 OK\r\n")
                while not stop.wait(0.01):
                    try:
                        taken.sendall(b"x")
                    except OSError:
                        return

        dripping = threading.Thread(target=drip)
        dripping.start()
        rest = Rest(
            f"http://127.0.0.1:{listening.getsockname()[1]}", product="Engine", patience=Patience(call=0.2, answer=0.2)
        )
        try:
            with pytest.raises(NoAnswerError, match=r"time was over|timed out"):
                ask(rest)
        finally:
            stop.set()
            rest.close()
            dripping.join()


def test_a_refusal_is_not_tried_again_and_says_what_the_service_said(server: Server, rest: Rest, time: Time) -> None:
    server.script = lambda _: Answer(400, b'{"error":\n"too many"}')
    with pytest.raises(StatusError, match=r'answered 400: {"error": "too many"}') as raised:
        ask(rest)
    assert (raised.value.status, raised.value.complaint, time.waits) == (400, '{"error":\n"too many"}', [])


def test_a_key_that_was_changed_is_used_from_the_next_call_on(server: Server, time: Time) -> None:
    environment = {"ENGINE_KEY": "old-key"}
    rest = rest_of(server.url, time, key=Secret("ENGINE_KEY", environment))
    ask(rest)
    environment["ENGINE_KEY"] = "new-key"
    ask(rest)
    assert [asked.headers["authorization"] for asked in server.asked] == ["Bearer old-key", "Bearer new-key"]
    rest.close()


def test_a_wrong_key_is_named_and_never_shown(server: Server, time: Time) -> None:
    rest = rest_of(server.url, time, key=Secret("ENGINE_KEY", {"ENGINE_KEY": "s3cret-value"}))
    server.script = lambda asked: Answer(401, asked.headers["authorization"].encode())
    with pytest.raises(StatusError, match="answered 401 to the key ENGINE_KEY: Bearer ENGINE_KEY") as raised:
        ask(rest)
    assert "s3cret" not in str(raised.value)
    assert len(server.asked) == 1
    server.script = lambda asked: Answer(503, asked.headers["authorization"].encode())
    with pytest.raises(NoAnswerError) as again:
        ask(rest)
    assert "s3cret" not in str(again.value)
    rest.close()


def test_an_answer_without_a_length_is_read_to_its_end(server: Server, rest: Rest) -> None:
    chunked = b'8\r\n{"a": 1,\r\n8\r\n "b": 2}\r\n0\r\n\r\n'
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def answer() -> None:
            taken, _ = listening.accept()
            with taken:
                taken.recv(65536)
                taken.sendall(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + chunked)

        answering = threading.Thread(target=answer)
        answering.start()
        one = Rest(f"http://127.0.0.1:{listening.getsockname()[1]}", product="Engine")
        assert ask(one) == {"a": 1, "b": 2}
        answering.join()
        one.close()
    assert rest.send("DELETE", "/x", answer=bytes) == b"{}"
    assert "content-length" not in server.asked[0].headers


def test_a_closed_client_says_so(server: Server, rest: Rest) -> None:
    ask(rest)
    rest.close()
    rest.close()
    with pytest.raises(ClosedError, match="closed"):
        ask(rest)
    assert len(server.asked) == 1


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Of `localhost`, and signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("::2"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path / "certificate.pem"
    plain = serialization.NoEncryption()
    file.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return file


@pytest.fixture
def secure_server(certificate: Path) -> Iterator[Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serving(tls=context) as opened:
        yield opened


def test_a_service_with_a_certificate_that_is_trusted_is_talked_to(
    secure_server: Server, certificate: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    rest = rest_of(secure_server.url, time)
    for _ in range(3):
        assert ask(rest) == {}
    assert secure_server.connections == 1
    rest.close()


def test_nothing_is_sent_to_a_service_whose_certificate_is_not_trusted(secure_server: Server, time: Time) -> None:
    rest = rest_of(secure_server.url, time, key=Secret("ENGINE_KEY", {"ENGINE_KEY": "s3cret-value"}))
    with pytest.raises(NoAnswerError, match=r"could not be reached.*certificate"):
        ask(rest)
    assert secure_server.asked == []
    rest.close()


def test_nothing_is_sent_to_a_service_whose_certificate_is_of_another_host(
    secure_server: Server, certificate: Path, time: Time, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    rest = rest_of(secure_server.url.replace("localhost", "127.0.0.1"), time)
    with pytest.raises(NoAnswerError, match=r"could not be reached.*certificate"):
        ask(rest)
    assert secure_server.asked == []
    rest.close()


def repeating(before: bytes, after: bytes = b"") -> Iterator[str]:
    """A service that puts the key that it was sent between these, instead of an answer."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def repeat() -> None:
            with contextlib.suppress(OSError):  # the test is over
                while True:
                    taken, _ = listening.accept()
                    with taken:
                        lines = taken.recv(65536).split(b"\r\n")
                        key = next(line for line in lines if line.startswith(b"authorization"))
                        taken.sendall(before + key + after)

        thread = threading.Thread(target=repeat)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            listening.shutdown(socket.SHUT_RDWR)
            thread.join()


REPETITIONS = {
    "status line": (b"", b"\r\n\r\n"),
    "status": (b"HTTP/1.1 ", b"\r\n\r\n"),
    "length": (b"HTTP/1.1 200 OK\r\ncontent-length: ", b"\r\n\r\n"),
    "length of a chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"\r\n"),
    "header": (b"HTTP/1.1 503 Busy\r\nretry-after: ", b"\r\n\r\n"),
    "answer that is no JSON": (b"HTTP/1.1 200 OK\r\n\r\n", b""),
    "answer of another kind": (b'HTTP/1.1 200 OK\r\n\r\n{"choice": "', b'"}'),
    "error": (b"HTTP/1.1 500 No\r\n\r\n", b""),
    "refusal": (b"HTTP/1.1 400 No\r\n\r\n", b""),
    "end of what is shown of a refusal": (b"HTTP/1.1 400 No\r\n\r\n" + b" " * (16 * SHOWN_CHARACTERS - 30), b""),
    "redirect": (b"HTTP/1.1 307 There\r\n\r\n", b""),
}


class Chosen(msgspec.Struct):
    choice: Literal["a", "b"] = "a"


@pytest.mark.parametrize("where", REPETITIONS)
def test_a_key_is_in_no_error_wherever_the_service_repeats_it(where: str, time: Time) -> None:
    with contextlib.contextmanager(repeating)(*REPETITIONS[where]) as url:
        key = Secret("ENGINE_KEY", {"ENGINE_KEY": "s3cret-value"})
        for rest in (
            rest_of(url, time, key=key),
            rest_of(url, time, key=key, raises=lambda error: OSError(str(error))),
        ):
            with pytest.raises((RestError, OSError)) as raised:
                rest.send("POST", "/x", {}, answer=Chosen)
            told = "".join(traceback.format_exception(raised.value)) + repr(vars(raised.value)) + repr(rest)
            assert "s3cret" not in told


@pytest.mark.parametrize("where", ["status line", "status", "length", "length of a chunk"])
def test_what_breaks_an_answer_is_not_told_since_it_may_be_what_was_sent(where: str, time: Time) -> None:
    with contextlib.contextmanager(repeating)(*REPETITIONS[where]) as url:
        rest = rest_of(url, time, key=Secret("ENGINE_KEY", {"ENGINE_KEY": "s3cret-value"}))
        with pytest.raises(RestError) as raised:
            rest.send("POST", "/x", {}, answer=Chosen)
        assert "Bearer" not in str(raised.value)


def test_a_key_that_cannot_be_sent_is_told_of_and_nothing_is_sent(server: Server, time: Time) -> None:
    rest = rest_of(server.url, time, key=Secret("ENGINE_KEY", {"ENGINE_KEY": "s3cret value"}))
    with pytest.raises(UnusableKeyError, match="was not asked: ENGINE_KEY holds a space") as raised:
        ask(rest)
    assert "s3cret" not in "".join(traceback.format_exception(raised.value))
    assert server.asked == []


def test_what_reads_an_answer_says_whether_to_ask_again(server: Server, rest: Rest, time: Time) -> None:
    def read(reply: Reply) -> bytes:
        if reply.body == b"later":
            raise AgainError("is not ready")
        raise FailedReplyError("it is\nbroken")

    server.script = one_after_another(Answer(body=b"later"), Answer(body=b"no"))
    with pytest.raises(StatusError, match="answered 200 with an error: it is broken") as raised:
        rest.asked("GET", "/", read=read)
    assert (raised.value.status, len(server.asked), time.waits) == (200, 2, [0.05])


@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_is_not_followed_and_is_an_error_like_others(
    server: Server, rest: Rest, time: Time, status: int
) -> None:
    server.script = lambda _: Answer(status, b"elsewhere", {"location": "/other"})
    with pytest.raises(StatusError, match=f"answered {status}: elsewhere"):
        ask(rest)
    assert (len(server.asked), time.waits) == (1, [])


@pytest.mark.parametrize("chunked", [False, True])
def test_more_than_an_answer_may_be_is_not_read(server: Server, time: Time, chunked: bool) -> None:  # noqa: FBT001
    body = b"3e8\r\n" + b" " * 1000 + b"\r\n0\r\n\r\n" if chunked else b" " * 1000
    headers = {"transfer-encoding": "chunked"} if chunked else {}
    server.script = lambda _: Answer(body=body, headers=headers)
    for most, expected in ((1000, "not as expected"), (999, "answered .*more than 999")):
        rest = rest_of(server.url, time, most_bytes=most)
        with pytest.raises(NoAnswerError, match=expected):
            ask(rest)
        rest.close()


def test_whoever_calls_may_have_errors_of_its_own(server: Server, time: Time) -> None:
    rest = rest_of(server.url, time, raises=lambda error: LookupError(f"mine: {error}"))
    server.script = lambda _: Answer(404, b"no")
    with pytest.raises(LookupError, match=r"mine: Engine at .* answered 404: no"):
        ask(rest)
    rest.close()
    with pytest.raises(LookupError, match=r"mine: Engine at .* is closed"):
        ask(rest)
