"""Signatures are those that AWS's own library makes."""

import datetime as dt
from unittest.mock import patch

import pytest
from botocore import auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials
from hypothesis import given
from hypothesis import strategies as st

from functions.adapters.aws.client import quoted
from functions.adapters.aws.signing import Credentials, Request, Scope, query_of, signed

WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=12)
HEADER_NAMES = st.from_regex(r"x-amz-[a-z]{1,8}", fullmatch=True).filter(
    lambda name: name not in ("x-amz-date", "x-amz-content-sha256")
)
HEADER_VALUES = st.lists(WORDS, min_size=1, max_size=3).flatmap(
    lambda words: st.sampled_from([" ".join(words), "  ".join(words), f" {' '.join(words)} "])
)
HOSTS = st.sampled_from(["dynamodb.eu-west-1.amazonaws.com", "127.0.0.1:4566", "data.s3.eu-west-1.amazonaws.com"])
SEGMENTS = st.lists(st.text(min_size=1, max_size=8).filter(lambda text: text not in (".", "..") and "/" not in text))
REQUESTS = st.builds(
    Request,
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE"]),
    host=HOSTS,
    path=SEGMENTS.map(lambda parts: "/" + "/".join(map(quoted, parts))),
    query=st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=8), max_size=3),
    headers=st.dictionaries(HEADER_NAMES, HEADER_VALUES, max_size=3),
    body=st.binary(max_size=100),
)
CREDENTIALS = st.builds(Credentials, WORDS, WORDS, st.just("") | WORDS)
TIMES = st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2040, 1, 1), timezones=st.just(dt.UTC))  # noqa: DTZ001 - see timezones


@given(REQUESTS, CREDENTIALS, TIMES, st.sampled_from(["dynamodb", "events", "sqs", "bedrock", "s3"]))
def test_a_signature_is_the_one_that_botocore_makes(
    request: Request, credentials: Credentials, now: dt.datetime, service: str
) -> None:
    made = signed(request, Scope("eu-west-1", service), credentials, now)
    signs = auth.S3SigV4Auth if service == "s3" else auth.SigV4Auth
    theirs = AWSRequest(
        request.method,
        f"http://{request.host}{request.path}?{query_of(request.query)}",
        headers=dict(request.headers),
        data=request.body,
    )
    boto = BotoCredentials(credentials.key_id, credentials.secret, credentials.token or None)
    with patch.object(auth, "get_current_datetime", lambda: now):
        signs(boto, service, "eu-west-1").add_auth(theirs)
    assert made["authorization"] == theirs.headers["Authorization"]
    assert made["x-amz-date"] == theirs.headers["X-Amz-Date"]


@pytest.mark.parametrize("shown", [repr, str])
def test_credentials_do_not_print_themselves(shown: type) -> None:
    credentials = Credentials("AKIDEXAMPLE", "wJalrXUtnFEMI", "session")
    assert not any(each in str(shown(credentials)) for each in ("AKIDEXAMPLE", "wJalrXUtnFEMI", "session"))
