"""Calls to AWS, signed: as much of its protocols as a delivery needs.

boto3 does the same and much more, and takes four times as long to load as all the rest of an agent (docs/adr/0024).
What shaped this file: AWS says that it is throttled with status 400, so that the code of an error, and not its status,
tells what is worth trying again. And where a signature is refused, the answer repeats what was signed, the session's
token included.
"""

import itertools
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlsplit

import msgspec

from functions.adapters.aws.credentials import CredentialsOfEnvironment
from functions.adapters.aws.signing import UNRESERVED, Request, Scope, query_of, signed
from functions.adapters.rest import (
    AGAIN,
    REDIRECTS,
    SHOWN_CHARACTERS,
    AgainError,
    NotSentError,
    Patience,
    Reply,
    Rest,
    RestError,
    pause_s,
)
from functions.errors import TroupeError
from functions.events.decoding import decoder

T = TypeVar("T")

#: The codes that mean "later", whatever the status: those that AWS's own SDKs try again, without LimitExceeded,
#: which at some services is a quota that no wait helps against.
LATER: Final = frozenset(
    {
        "BandwidthLimitExceeded",
        "EC2ThrottledException",
        "PriorRequestNotComplete",
        "ProvisionedThroughputExceededException",
        "RequestLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "RequestTimeout",
        "RequestTimeoutException",
        "SlowDown",
        "ThrottledException",
        "Throttling",
        "ThrottlingException",
        "TooManyRequestsException",
        "TransactionInProgressException",
    }
)
TOO_MANY: Final = 429
REGION, OTHER_REGION = "AWS_REGION", "AWS_DEFAULT_REGION"
ENDPOINT: Final = "AWS_ENDPOINT_URL"
PATIENCE: Final = Patience(call=20.0, answer=10.0, connect=3.0)
_XML: Final = {name: re.compile(rf"<{name}>([^<]*)</{name}>") for name in ("Code", "Message")}


class Service(msgspec.Struct, frozen=True):
    """A service as its calls name it.

    Attributes:
        name: In its host, and for most in the signature.
        setting: What its own endpoint is set as, behind `AWS_ENDPOINT_URL_`.
        target: What the header of an operation begins with, where the service has operations of JSON.
        json: The version of AWS's JSON.
        signed_as: In the signature; empty where that is its name.
        patience: How long it is waited for.
    """

    name: str
    setting: str
    target: str = ""
    json: str = ""
    signed_as: str = ""
    patience: Patience = PATIENCE


DYNAMODB: Final = Service("dynamodb", "DYNAMODB", "DynamoDB_20120810", "1.0")
EVENTS: Final = Service("events", "EVENTBRIDGE", "AWSEvents", "1.1")
SQS: Final = Service("sqs", "SQS", "AmazonSQS", "1.0")
SECRETS: Final = Service("secretsmanager", "SECRETS_MANAGER", "secretsmanager", "1.1")
BEDROCK: Final = Service(
    "bedrock-runtime",
    "BEDROCK_RUNTIME",
    signed_as="bedrock",
    patience=Patience(call=600.0, answer=600.0, connect=3.0),  # models write for long: the caller says how long
)
S3: Final = Service("s3", "S3")


class AwsError(TroupeError):
    """A call to AWS came to nothing.

    Attributes:
        service: As its host names it.
        code: Of the error, e.g. `AccessDeniedException`; empty where nothing was answered in time, or nothing
            with a code.
        status: The HTTP status; 0 where nothing was answered in time.
        said: What the service said, without credentials.
        answer: The JSON that it answered; empty where that is none.
    """

    def __init__(
        self, service: str, code: str, said: str, status: int = 0, answer: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(f"{service}: {code}: {said}" if code else f"{service}: {said}")
        self.service = service
        self.code = code
        self.status = status
        self.said = said
        self.answer = answer or {}


class NotReachedError(AwsError):
    """The service was never connected to: it did nothing."""


class _LaterError(AgainError):
    """A service that says "later"."""

    def __init__(self, code: str, status: int, said: str) -> None:
        super().__init__(f"answered {status} {code}: {said}")
        self.code = code
        self.status = status


class Aws:
    """Calls to AWS's services in one region, over connections that are kept open. Safe to use from several threads.

    Args:
        environment: Region, credentials and, for an emulator, endpoints, by the names that AWS's own SDKs read.
        left_s: How many seconds whoever calls has left; a call is given up before.
        patience: How long any service is waited for, in the place of what each says itself.
        now: The time, in UTC.
        sleep: Waits so many seconds.

    Raises:
        TroupeError: The environment names no region.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        *,
        left_s: Callable[[], float] | None = None,
        patience: Patience | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._environment = environment
        self._left_s = left_s
        self._patience = patience
        self._sleep = sleep
        self._now = now
        self._credentials = CredentialsOfEnvironment(environment, now)
        self._region = environment.get(REGION) or environment.get(OTHER_REGION) or ""
        self._rests: dict[str, Rest] = {}
        if not self._region:
            raise TroupeError(f"no region of AWS: {REGION} is not set")

    def call(
        self, service: Service, operation: str, given: Mapping[str, Any], *, within_s: float | None = None
    ) -> dict[str, Any]:
        """The answer of an operation; bytes are base64 in what is answered, as in AWS's JSON.

        Args:
            service: With a `target`.
            operation: E.g. `PutItem`.
            given: What it takes.
            within_s: How long it may take in all, with what is tried again; less where the caller has less left.

        Raises:
            AwsError: The service refused, or did not answer in time.
        """
        headers = {
            "content-type": f"application/x-amz-json-{service.json}",
            "x-amz-target": f"{service.target}.{operation}",
        }
        body = msgspec.json.encode(given)
        return self.send(service, "POST", "/", body=body, headers=headers, read=decoded, within_s=within_s)

    def send(  # noqa: PLR0913 - what a request of HTTP is made of
        self,
        service: Service,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        read: Callable[[Reply], T],
        url: str = "",
        within_s: float | None = None,
        again: Callable[[AgainError], bool] | None = None,
    ) -> T:
        """What `read` makes of the answer to one request; it may be sent more than once.

        Args:
            service: For its endpoint and its signature.
            method: E.g. `GET`.
            path: Quoted.
            query: Not quoted yet.
            headers: By names in lower case.
            body: What is sent.
            read: What to make of an answer with a status below 300.
            url: Where it is sent, where that is not the service's endpoint.
            within_s: See `call`.
            again: See `Rest.asked`.

        Raises:
            AwsError: The service refused, or did not answer in time.
        """
        at = (url or self.endpoint(service)).rstrip("/")
        parts = urlsplit(at)
        request = Request(
            method=method,
            host=parts.netloc,
            path=parts.path + path,
            query=query or {},
            headers=headers or {},
            body=body,
        )
        scope = Scope(self._region, service.signed_as or service.name)
        self._credentials.current()  # here, since what goes wrong with it is no error of the service
        target = f"{path}?{query_of(query)}" if query else path
        return self._rest(service, at).asked(
            method,
            target,
            body,
            read=read,
            headers=lambda: signed(request, scope, self._credentials.current(), self._now()),
            within_s=self._allowed_s(within_s),
            again=again,
        )

    def tries(self, service: Service) -> Iterator[int]:
        """Counts the tries of what a service does in parts and leaves some of, with a growing random pause between.

        It ends where there is no time for another one.
        """
        patience = self._patience or service.patience
        ends = time.monotonic() + (self._allowed_s(patience.call) or 0.0)
        for tried in itertools.count():
            yield tried
            pause = pause_s(tried, random.random())  # noqa: S311 - nothing is kept secret by it
            if time.monotonic() + pause >= ends:
                return
            self._sleep(pause)

    def endpoint(self, service: Service) -> str:
        """Where a service is: at its own endpoint, at that of all, or at AWS."""
        set_here = self._environment.get(f"{ENDPOINT}_{service.setting}") or self._environment.get(ENDPOINT)
        return set_here or f"https://{service.name}.{self._region}.{self._domain}"

    def bucket(self, name: str) -> tuple[str, str]:
        """Where a bucket is, and what the path of a key begins with there.

        In the host at AWS; in the path of an endpoint that is set, and where a dot in the name would not be in the
        certificate.
        """
        if self.endpoint(S3) == f"https://s3.{self._region}.{self._domain}" and "." not in name:
            return f"https://{name}.s3.{self._region}.{self._domain}", "/"
        return self.endpoint(S3), f"/{name}/"

    def close(self) -> None:
        """Close the connections."""
        for rest in self._rests.values():
            rest.close()

    @property
    def _domain(self) -> str:
        return "amazonaws.com.cn" if self._region.startswith("cn-") else "amazonaws.com"

    def _allowed_s(self, within_s: float | None) -> float | None:
        left = [each for each in (within_s, self._left_s() if self._left_s else None) if each is not None]
        return max(min(left), 0.0) if left else None

    def _rest(self, service: Service, url: str) -> Rest:
        found = self._rests.get(url)
        if found is not None:
            return found
        opened = Rest(
            url,
            product=service.name,
            patience=self._patience or service.patience,
            judge=lambda reply: self._judge(service.name, reply),
            raises=lambda error: self._unanswered(service.name, error),
        )
        return self._rests.setdefault(url, opened)

    def _judge(self, service: str, reply: Reply) -> None:
        if reply.status < REDIRECTS:
            return
        answer = _error(reply)
        code, said = _code(reply, answer), str(answer.get("message") or answer.get("Message") or "")
        shown = self._shown(said) or "nothing"
        if code in LATER or reply.status in AGAIN:
            raise _LaterError(code, reply.status, shown)
        raise AwsError(service, code or f"status {reply.status}", shown, reply.status, answer)

    def _unanswered(self, service: str, error: RestError) -> AwsError:
        """The last that was heard, where the time was over before anything else was."""
        last, said = error.__cause__, self._shown(str(error))
        if isinstance(last, _LaterError):
            return AwsError(service, last.code, said, last.status)
        return (NotReachedError if isinstance(last, NotSentError) else AwsError)(service, "", said)

    def _shown(self, text: str) -> str:
        """On one line, cut, without what a service repeats of the credentials."""
        return " ".join(self._credentials.current().hidden_in(text).split())[:SHOWN_CHARACTERS]


def did_nothing(again: AgainError) -> bool:
    """Whether a service says that it did nothing of a call for now, or never got it: what is paid for by the call."""
    if isinstance(again, _LaterError):
        return again.code in LATER or again.status == TOO_MANY
    return isinstance(again, NotSentError)


def _error(reply: Reply) -> Mapping[str, Any]:
    """What an answer with an error says, in AWS's JSON, in S3's XML, or in no form at all."""
    text = reply.body.decode("utf-8", "replace")
    if text.lstrip().startswith("<"):
        return {name.lower(): found[1] for name in ("Code", "Message") if (found := _XML[name].search(text))}
    try:
        return decoder(dict[str, Any]).decode(text or "{}")
    except msgspec.MsgspecError:
        return {"message": text}


def _code(reply: Reply, answer: Mapping[str, Any]) -> str:
    """Without the namespace before it and the address behind it."""
    kind = str(reply.headers.get("x-amzn-errortype") or answer.get("__type") or answer.get("code") or "")
    return kind.partition(":")[0].rpartition("#")[2]


def quoted(key: str) -> str:
    """A key of S3, or a part of any path, as a request names it; a / stays one."""
    return quote(key, safe=f"/{UNRESERVED}")


def decoded(reply: Reply) -> dict[str, Any]:
    """The object that an answer is; an empty one is one without fields."""
    return decoder(dict[str, Any]).decode(reply.body or b"{}")
