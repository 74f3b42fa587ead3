"""Who calls: the tenant comes from the key, from nothing else; no key is ever shown."""

import pytest

from functions.api.callers import DEFAULT_TENANT, Keys, correlation, read_keys
from functions.api.problems import ProblemError
from functions.errors import TroupeError

ALICE, BOB = "alice-key-0123456789", "bob-key-0123456789="


def test_without_keys_everybody_is_the_default_tenant() -> None:
    keys = read_keys({})
    assert not keys
    assert keys.tenant({"authorization": "Bearer whatever", "x-tenant": "alice"}) == DEFAULT_TENANT


def test_the_key_says_which_tenant_calls() -> None:
    keys = read_keys({"TROUPE_API_KEY": ALICE, "TROUPE_API_KEYS": f" bob = {BOB} ,"})
    assert keys
    assert keys.tenant({"authorization": f"Bearer {ALICE}"}) == DEFAULT_TENANT
    assert keys.tenant({"authorization": f"bearer  {BOB}", "x-tenant": "alice"}) == "bob"


@pytest.mark.parametrize(
    "headers",
    [{}, {"authorization": ""}, {"authorization": "Bearer"}, {"authorization": f"Basic {ALICE}"},
     {"authorization": f"Bearer {ALICE}x"}, {"authorization": f"Bearer {ALICE[:-1]}"}, {"authorization": ALICE},
     {"authorization": f"Bearer {ALICE}, Bearer {ALICE}"}, {"authorization": "Bearer \xff\udcff"}],
)  # fmt: skip
def test_no_key_or_a_wrong_one_is_refused(headers: dict[str, str]) -> None:
    with pytest.raises(ProblemError) as refused:
        read_keys({"TROUPE_API_KEY": ALICE}).tenant(headers)
    assert refused.value.problem.status == 401
    assert refused.value.headers == {"www-authenticate": "Bearer"}
    assert ALICE not in str(refused.value)


def test_everything_wrong_with_the_keys_is_said_at_once_and_no_key_is_shown() -> None:
    with pytest.raises(TroupeError) as refused:
        read_keys({"TROUPE_API_KEY": "short", "TROUPE_API_KEYS": f"alice={ALICE},b b={BOB},carl={ALICE},alice={BOB}"})
    said = str(refused.value)
    for expected in ("the key of default is not", "entry 3 names no tenant", "two keys", "the same key"):
        assert expected in said
    for secret in (ALICE, BOB, "short"):
        assert secret not in said


def test_keys_are_kept_as_digests() -> None:
    assert ALICE not in repr(vars(Keys({"default": ALICE})))


def test_a_call_without_an_id_is_given_one() -> None:
    assert correlation({}) != correlation({})
    assert correlation({"x-request-id": "trace-1"}) == "trace-1"


@pytest.mark.parametrize("given", ["", "a b", "a\nb", "x" * 129, "\xfc"])
def test_an_id_that_no_log_should_hold_is_refused(given: str) -> None:
    with pytest.raises(ProblemError) as refused:
        correlation({"x-request-id": given})
    assert refused.value.problem.status == 400
