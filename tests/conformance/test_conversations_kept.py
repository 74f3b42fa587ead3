"""What was said in a conversation."""

from guarantees import guarantee
from harness import Clock
from sample_workflows import SINGLE, Asked
from target import Deploys, Troupe

from functions.ports.conversations import Append, History
from functions.runtime.delivery import Binding
from functions.runtime.workflow import Budget

SAID_ONCE = guarantee("said-once", "A repeated delivery says nothing twice.")
HISTORY = guarantee(
    "history", "History is the last messages, oldest first, of this conversation, without what the reader itself said."
)
EXPIRES = guarantee("expires", "A message is gone after 30 days.")


def _bound(troupe: Troupe, key: str, tenant: str, conversation: str) -> tuple[Append, History]:
    return troupe.target.conversation(
        Binding(
            tenant=tenant,
            conversation=conversation,
            request=f"of {conversation}",
            key=key,
            origin=key,
            agent="work",
            attempt=1,
            until=troupe.now(),
            budget=Budget(),
        )
    )


def _log(troupe: Troupe, key: str, tenant: str = "default", conversation: str = "c1") -> Append:
    opened = troupe.opened(Asked(), request=f"of {conversation}", tenant=tenant, conversation=conversation)
    troupe.requests.accept(opened)
    return _bound(troupe, key, tenant, conversation)[0]


def _said(troupe: Troupe, limit: int = 20, key: str = "reader") -> list[str]:
    history = _bound(troupe, key, "default", "c1")[1].history(limit=limit)
    return [message.text for message in history]


@SAID_ONCE
def test_a_repeated_delivery_says_nothing_twice(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    for _ in range(2):
        log = _log(troupe, "k1")
        log.append("user", "hello")
        log.append("assistant", "good day")
        log.append("assistant", "and welcome")
    assert _said(troupe) == ["hello", "good day", "and welcome"]


@HISTORY
def test_history_is_the_last_messages_oldest_first_of_this_conversation(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    for number in range(5):
        _log(troupe, f"k{number}").append("user", f"{number}")
    _log(troupe, "k9", tenant="acme").append("user", "of another tenant")
    _log(troupe, "k9", conversation="c2").append("user", "of another conversation")
    assert _said(troupe, limit=3) == ["2", "3", "4"]
    assert _said(troupe) == ["0", "1", "2", "3", "4"]


@HISTORY
def test_a_retry_does_not_read_what_its_own_delivery_appended(deploy: Deploys) -> None:
    troupe = deploy(SINGLE)
    _log(troupe, "k1").append("user", "earlier")
    _log(troupe, "k2").append("user", "mine")
    assert _said(troupe, key="k2") == ["earlier"]
    assert _said(troupe, key="k3") == ["earlier", "mine"]


@EXPIRES
def test_a_message_is_gone_after_thirty_days(deploy: Deploys, clock: Clock) -> None:
    troupe = deploy(SINGLE)
    _log(troupe, "k1").append("user", "of long ago")
    clock.advance(86_400)
    _log(troupe, "k2").append("user", "new")
    clock.advance(29 * 86_400 + 1)
    assert _said(troupe) == ["new"]
    troupe.target.sweep()
    assert b"of long ago" not in troupe.target.at_rest()
    assert _said(troupe) == ["new"]
