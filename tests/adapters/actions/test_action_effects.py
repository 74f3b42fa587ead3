"""What a server was asked to do is done once, or in doubt, and never silently repeated: by the server's own count."""

from datetime import timedelta
from typing import Any

import pytest
from action_desk import Desk
from action_server import (
    KEY_HEADER,
    ActionServer,
    Behaviour,
    bomb,
    dripping,
    endless,
    hanging,
    lost,
    ok,
    raw,
    said,
    serving_actions,
    worked_and_said,
)

from functions.errors import PermanentError, TroupeError
from functions.ports.actions import ActionError, ActionResult
from functions.ports.effects import Effects

SHORT = {"timeout_s": "0.2"}
OPEN = b"HTTP/1.1 200 OK\r\n\r\n"


class CrashError(BaseException):
    """The process dies here: nothing catches it."""


class Crashing:
    """A ledger in front of which the process dies, at one of its steps."""

    def __init__(self, effects: Effects, step: str, *, after: bool) -> None:
        self._effects = effects
        self._step = step
        self._after = after

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the ledger has
        found = getattr(self._effects, name)
        if name != self._step:
            return found

        def crash(*given: Any, **named: Any) -> None:
            if self._after:
                found(*given, **named)
            raise CrashError

        return crash


def crash(desk: Desk, server: ActionServer, step: str, *, after: bool) -> None:
    desk.wrap = lambda effects: Crashing(effects, step, after=after)
    with pytest.raises(CrashError):
        desk.attempt(server).invoke("notify", "it is done")
    desk.wrap = lambda effects: effects
    desk.restart()


def refused(desk: Desk, server: ActionServer, reason: str, **given: Any) -> str:
    """An attempt that is refused for good; what it says."""
    with pytest.raises(PermanentError) as raised:
        desk.attempt(server, **given).invoke("notify", "it is done")
    assert raised.value.reason == reason
    return str(raised.value)


def test_an_action_is_done_and_its_answer_comes_back(desk: Desk, server: ActionServer) -> None:
    server.behaviours = [ok("number 7", 201)]
    assert desk.attempt(server).invoke("notify", "it is done") == ActionResult(status=201, text="number 7")
    ((method, path, headers, body),) = server.requests
    assert (method, path, body) == ("POST", "/do", {"text": "it is done"})
    assert headers["Host"] == f"127.0.0.1:{server.port}"
    (effect,) = desk.effects.effects()
    assert (effect.action, effect.status, effect.sent.body) == ("notify", "done", '{"text":"it is done"}')
    assert effect.received == ActionResult(status=201, text="number 7")


@pytest.mark.parametrize("honours", [True, False])
def test_a_repeat_of_what_is_done_returns_the_answer_without_a_call(desk: Desk, honours: bool) -> None:  # noqa: FBT001
    with serving_actions(honours_keys=honours) as server:
        first = desk.attempt(server).invoke("notify", "it is done")
        desk.restart()
        for given in ({"attempt": 2}, {"key": "of another generation", "request": "r1-again"}):
            assert desk.attempt(server, **given).invoke("notify", "it is done") == first
        assert len(server.requests) == 1
    assert desk.attempt(server).invoke("notify", "it is done") == first, "though its server is gone"


def test_two_calls_of_a_delivery_are_two_effects_and_a_repeat_makes_neither_again(
    desk: Desk, server: ActionServer
) -> None:
    for _ in range(2):
        attempt = desk.attempt(server)
        attempt.invoke("notify", "one")
        attempt.invoke("notify", "two")
    assert server.done == {'{"text":"one"}': 1, '{"text":"two"}': 1}


def test_another_origin_and_another_tenant_are_other_effects(desk: Desk, server: ActionServer) -> None:
    desk.attempt(server).invoke("notify", "it is done")
    desk.attempt(server, origin="another").invoke("notify", "it is done")
    assert server.done == {'{"text":"it is done"}': 2}
    assert desk.stack.effects("other").effects() == []


# --------------------------------------------------------------------------------- a server that honours keys


@pytest.mark.parametrize("behaviour", [lost, worked_and_said(500), worked_and_said(503), raw(b"garbage\r\n\r\n")])
def test_a_call_that_had_no_answer_is_repeated_under_its_key_and_done_once(
    desk: Desk, keyed: ActionServer, behaviour: Behaviour
) -> None:
    keyed.behaviours = [behaviour]
    with pytest.raises(ActionError, match="is not known"):
        desk.attempt(keyed).invoke("notify", "it is done")
    assert desk.statuses() == ["in doubt"]
    desk.restart()
    assert desk.attempt(keyed, key="of another generation").invoke("notify", "it is done").text == "the same again"
    assert desk.statuses() == ["done"]
    assert keyed.done == {'{"text":"it is done"}': 1}
    first, second = (headers[KEY_HEADER] for _, _, headers, _ in keyed.requests)
    assert first == second
    assert desk.effects.effects()[0].key == first


@pytest.mark.parametrize(("step", "after", "calls"), [("begin", True, 1), ("end", False, 2), ("end", True, 1)])
def test_a_crash_at_any_step_ends_in_one_effect_where_keys_are_honoured(
    desk: Desk,
    keyed: ActionServer,
    step: str,
    after: bool,  # noqa: FBT001
    calls: int,
) -> None:
    crash(desk, keyed, step, after=after)
    assert desk.attempt(keyed).invoke("notify", "it is done").status == 200
    assert keyed.done == {'{"text":"it is done"}': 1}
    assert len(keyed.requests) == calls


def test_a_key_is_not_relied_on_for_longer_than_its_server_remembers_it(desk: Desk, keyed: ActionServer) -> None:
    keyed.behaviours = [lost]
    with pytest.raises(ActionError):
        desk.attempt(keyed).invoke("notify", "it is done")
    desk.clock.advance(24 * 3600)
    assert "in doubt" in refused(desk, keyed, "effect in doubt")
    assert len(keyed.requests) == 1


@pytest.mark.parametrize("settings", [{"method": '"PUT"'}, {"body": '{ note = "{text}" }'}])
def test_a_key_says_nothing_of_another_request_than_the_one_that_was_sent(
    desk: Desk, keyed: ActionServer, settings: dict[str, str]
) -> None:
    keyed.behaviours = [lost]
    with pytest.raises(ActionError):
        desk.attempt(keyed).invoke("notify", "it is done")
    refused(desk, keyed, "effect in doubt", settings=settings)
    assert len(keyed.requests) == 1


@pytest.mark.parametrize("status", [409, 425, 429, 408, 500])
def test_a_repeat_that_is_to_come_later_is_retried_and_stays_in_doubt(
    desk: Desk, keyed: ActionServer, status: int
) -> None:
    keyed.behaviours = [said(503), said(status), ok()]
    for _ in range(2):
        with pytest.raises(ActionError):
            desk.attempt(keyed).invoke("notify", "it is done")
        assert desk.statuses() == ["in doubt"]
    assert desk.attempt(keyed).invoke("notify", "it is done").status == 200


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_a_repeat_that_is_refused_says_nothing_of_the_call_before_it(
    desk: Desk, keyed: ActionServer, status: int
) -> None:
    keyed.behaviours = [said(503), said(status)]
    with pytest.raises(ActionError):
        desk.attempt(keyed).invoke("notify", "it is done")
    refused(desk, keyed, "effect in doubt")
    assert desk.statuses() == ["in doubt"]


# ----------------------------------------------------------------------------------- a server that honours none


@pytest.mark.parametrize(
    "behaviour",
    [
        *(lost, worked_and_said(500), worked_and_said(503), worked_and_said(408), worked_and_said(302), hanging),
        *(
            worked_and_said(103),
            raw(b""),
            raw(b"garbage\r\n\r\n"),
            raw(b"HTTP/1.1 2"),
            dripping(b"HTTP/1.1 "),
        ),
    ],
)
def test_what_may_have_been_done_is_in_doubt_and_never_sent_again(
    desk: Desk, server: ActionServer, behaviour: Behaviour
) -> None:
    server.behaviours = [behaviour]
    told = refused(desk, server, "effect in doubt", settings=SHORT)
    (effect,) = desk.effects.effects()
    assert effect.status == "in doubt"
    for part in ("the action notify", "at 2026-01-05 09:00:00 UTC", effect.key, "127.0.0.1", "troupe effects settle"):
        assert part in told
    desk.clock.advance(3600)
    desk.restart()
    for given in ({}, {"attempt": 2}, {"key": "of another generation", "request": "r1-again"}):
        again = refused(desk, server, "effect in doubt", **given)
        assert "at 2026-01-05 09:00:00 UTC" in again, "when it was sent, not when somebody asked again"
    assert len(server.requests) == 1
    assert server.done == {'{"text":"it is done"}': 1}
    assert [each.key for each in desk.effects.in_doubt("r1-again")] == [effect.key]


@pytest.mark.parametrize(("step", "after", "sent"), [("begin", True, 0), ("end", False, 1)])
def test_a_crash_between_intent_and_record_leaves_a_doubt_and_no_second_call(
    desk: Desk,
    server: ActionServer,
    step: str,
    after: bool,  # noqa: FBT001
    sent: int,
) -> None:
    crash(desk, server, step, after=after)
    assert [each.status for each in desk.effects.in_doubt("r1")] == ["sending"]
    for _ in range(3):
        refused(desk, server, "effect in doubt")
    assert len(server.requests) == sent
    assert [each.status for each in desk.effects.in_doubt("r1")] == ["in doubt"]


def test_a_crash_before_the_intent_leaves_nothing_and_after_the_record_everything(
    desk: Desk, server: ActionServer
) -> None:
    crash(desk, server, "begin", after=False)
    assert desk.statuses() == []
    crash(desk, server, "end", after=True)
    assert desk.statuses() == ["done"]
    assert desk.attempt(server).invoke("notify", "it is done").status == 200
    assert server.done == {'{"text":"it is done"}': 1}


def test_a_doubt_is_said_though_its_server_is_gone(desk: Desk, server: ActionServer) -> None:
    server.behaviours = [lost]
    refused(desk, server, "effect in doubt")
    server.stop()
    refused(desk, server, "effect in doubt")


def test_what_is_erased_while_its_server_is_connected_to_is_not_sent_and_leaves_nothing(
    desk: Desk, server: ActionServer
) -> None:
    def erased(_host: str, _port: int) -> list[str]:
        desk.erase()
        return ["127.0.0.1"]

    with pytest.raises(PermanentError, match="erased"):
        desk.attempt(server, resolve=erased).invoke("notify", "it is done")
    assert (server.requests, desk.statuses()) == ([], [])


# -------------------------------------------------------------------------------- what says that nothing was done


@pytest.mark.parametrize("status", [400, 401, 404, 409, 410, 422, 307, 308])
def test_what_a_server_refuses_is_permanent_and_may_be_asked_anew(
    desk: Desk, server: ActionServer, status: int
) -> None:
    server.behaviours = [said(status, "not so")]
    assert f"127.0.0.1 answered {status}: not so" in refused(desk, server, "action refused")
    assert desk.statuses() == ["refused"]
    assert desk.effects.in_doubt("r1") == []
    assert desk.attempt(server).invoke("notify", "it is done").status == 200
    assert server.done == {'{"text":"it is done"}': 1}


@pytest.mark.parametrize("status", [425, 429])
def test_a_server_that_says_later_is_asked_later(desk: Desk, server: ActionServer, status: int) -> None:
    server.behaviours = [said(status, "", ("Retry-After", "1"))]
    with pytest.raises(ActionError, match="was not done"):
        desk.attempt(server).invoke("notify", "it is done")
    assert desk.attempt(server).invoke("notify", "it is done").status == 200


class Renewed(dict[str, str]):
    """Settings that are looked up where they are kept, once somebody refuses one."""

    kept = "second"

    def refused(self, name: str) -> None:
        self[name] = self.kept


@pytest.mark.parametrize("status", [401, 403])
def test_a_secret_that_was_changed_is_looked_up_and_sent_once_more(
    desk: Desk, server: ActionServer, status: int
) -> None:
    desk.environment = Renewed({"TOKEN": "first"})
    headers = {"headers": '{ X-Key = "secret:TOKEN" }'}
    server.behaviours = [said(status), said(status)]
    with pytest.raises(ActionError, match="was not done"):
        desk.attempt(server, headers).invoke("notify", "it is done")
    with pytest.raises(PermanentError, match="refused"):  # the one that is kept now is refused too
        desk.attempt(server, headers).invoke("notify", "it is done")
    assert [sent["X-Key"] for _, _, sent, _ in server.requests] == ["first", "second"]
    assert desk.attempt(server, headers).invoke("notify", "it is done").status == 200


def test_a_repeat_with_a_secret_that_was_changed_is_still_made_under_its_key(desk: Desk, keyed: ActionServer) -> None:
    desk.environment = Renewed({"TOKEN": "first"})
    headers = {"headers": '{ X-Key = "secret:TOKEN" }'}
    keyed.behaviours = [said(503), said(401), ok()]
    for _ in range(2):
        with pytest.raises(ActionError):
            desk.attempt(keyed, headers).invoke("notify", "it is done")
        assert desk.statuses() == ["in doubt"]
    assert desk.attempt(keyed, headers).invoke("notify", "it is done").status == 200


def test_what_cannot_be_reached_is_retried_and_never_in_doubt(desk: Desk, server: ActionServer) -> None:
    server.stop()
    for _ in range(2):
        with pytest.raises(ActionError, match=r"was not sent: 127\.0\.0\.1 could not be reached"):
            desk.attempt(server).invoke("notify", "it is done")
    assert desk.statuses() == []


def test_without_time_nothing_is_sent(desk: Desk, server: ActionServer) -> None:
    with pytest.raises(ActionError, match="was not sent"):
        desk.attempt(server, until=desk.clock()).invoke("notify", "it is done")
    assert server.requests == []


def test_the_time_of_the_delivery_bounds_the_call(desk: Desk, server: ActionServer) -> None:
    server.behaviours = [hanging]
    refused(desk, server, "effect in doubt", until=desk.clock() + timedelta(seconds=1.7), settings={"timeout_s": "20"})
    assert not server.stopping.is_set()


# ---------------------------------------------------------------------------------------- answers that misbehave


@pytest.mark.parametrize(
    ("behaviour", "length"),
    [
        (endless, 1000),
        (ok("x" * 5000), 1000),
        (raw(OPEN + b"x" * 5000), 1000),
        (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n" + b"x" * 500), 500),
        (raw(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1f4\r\n" + b"x" * 500 + b"\r\nzz"), 500),
        (bomb, 0),
    ],
)
def test_an_answer_that_is_too_long_or_does_not_come_whole_is_cut_and_the_effect_is_done(
    desk: Desk, server: ActionServer, behaviour: Behaviour, length: int
) -> None:
    server.behaviours = [behaviour]
    result = desk.attempt(server, {"max_response_bytes": "1000"}).invoke("notify", "it is done")
    assert result == ActionResult(status=200, text="x" * length, cut=True)
    assert desk.statuses() == ["done"]


@pytest.mark.parametrize("head", [OPEN, OPEN[:-2] + b"A: ", OPEN[:-2] + b"Transfer-Encoding: chunked\r\n\r\n9999\r\n"])
def test_an_answer_that_drips_is_cut_when_its_time_is_over(desk: Desk, server: ActionServer, head: bytes) -> None:
    server.behaviours = [dripping(head)]
    result = desk.attempt(server, SHORT).invoke("notify", "it is done")
    assert (result.status, result.cut) == (200, True)


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n", "abcde"),
        (b"Content-Length: 3\r\n\r\nabc", "abc"),
        (b"Content-Length: 3\r\n\r\nabcdef", "abc"),
        (b"\r\nabc", "abc"),
        (b"\r\n\x1b[31mred\x07\r\n\x00\xff\xe2\x80\xae.", "[31mred\n\ufffd."),
    ],
)
def test_what_is_shown_of_an_answer_is_its_text(desk: Desk, server: ActionServer, answer: bytes, text: str) -> None:
    server.behaviours = [raw(b"HTTP/1.1 200 OK\r\n" + answer)]
    assert desk.attempt(server).invoke("notify", "it is done") == ActionResult(status=200, text=text)


# -------------------------------------------------------------------------------------------------- what is sent


def test_the_users_words_stay_one_string_of_the_body(desk: Desk, server: ActionServer) -> None:
    words = 'a "quote", {text}, }], \r\nX-Evil: 1 \u2028 and \U0001f600'
    body = '{ channel = "ops", blocks = [ { kind = 1, text = "> {text}" } ] }'
    desk.attempt(server, {"body": body}).invoke("notify", words)
    ((_, _, headers, sent),) = server.requests
    assert sent == {"channel": "ops", "blocks": [{"kind": 1, "text": f"> {words}"}]}
    assert "X-Evil" not in headers


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_each_method_is_sent_as_declared(desk: Desk, server: ActionServer, method: str) -> None:
    desk.attempt(server, {"method": f'"{method}"'}).invoke("notify", "x")
    assert [each[0] for each in server.requests] == [method]


def test_an_action_of_another_text_under_the_key_of_one_that_is_done_is_refused(
    desk: Desk, server: ActionServer
) -> None:
    desk.attempt(server).invoke("notify", "something else")
    assert "with another text" in refused(desk, server, "effect changed")
    assert len(server.requests) == 1


def test_an_unknown_action_is_refused_with_the_names_that_exist(desk: Desk, server: ActionServer) -> None:
    with pytest.raises(PermanentError, match="no action 'rm': use one of notify"):
        desk.attempt(server).invoke("rm", "it")


# ---------------------------------------------------------------------------------------------------- settling


def in_doubt(desk: Desk, server: ActionServer) -> str:
    server.behaviours = [lost]
    refused(desk, server, "effect in doubt")
    key: str = desk.effects.effects()[0].key
    return key


def test_what_a_person_settled_as_done_is_taken_as_done(desk: Desk, server: ActionServer) -> None:
    key = in_doubt(desk, server)
    assert desk.effects.settle(key, "done").status == "done"
    assert desk.effects.in_doubt("r1") == []
    assert desk.attempt(server).invoke("notify", "it is done") == ActionResult(status=None)
    assert len(server.requests) == 1


def test_what_a_person_settled_as_not_done_is_sent_anew(desk: Desk, server: ActionServer) -> None:
    key = in_doubt(desk, server)
    assert desk.effects.settle(key, "not done").status == "not done"
    assert desk.attempt(server).invoke("notify", "it is done").status == 200
    assert desk.statuses() == ["done"]


def test_only_what_is_in_doubt_can_be_settled(desk: Desk, server: ActionServer) -> None:
    with pytest.raises(TroupeError, match="there is no effect nope"):
        desk.effects.settle("nope", "done")
    desk.attempt(server).invoke("notify", "it is done")
    (effect,) = desk.effects.effects()
    with pytest.raises(TroupeError, match="is done: only one in doubt can be settled"):
        desk.effects.settle(effect.key, "not done")


def test_what_may_be_being_sent_is_settled_only_once_no_attempt_can_last_so_long(
    desk: Desk, server: ActionServer
) -> None:
    crash(desk, server, "end", after=False)
    (effect,) = desk.effects.effects()
    with pytest.raises(TroupeError, match="may be being sent right now"):
        desk.effects.settle(effect.key, "not done")
    desk.clock.advance(601)
    assert desk.effects.settle(effect.key, "done").status == "done"


def test_an_answer_that_comes_after_a_second_attempt_gave_up_on_it_still_counts(
    desk: Desk, server: ActionServer
) -> None:
    """A worker that was given up may still be reading the answer."""
    crash(desk, server, "end", after=False)
    refused(desk, server, "effect in doubt")
    (effect,) = desk.effects.effects()
    desk.effects.end(effect.key, "done", ActionResult(status=200))
    assert desk.attempt(server).invoke("notify", "it is done") == ActionResult(status=200)


def test_for_a_request_that_was_erased_nothing_is_sent_and_nothing_put_down(desk: Desk, server: ActionServer) -> None:
    attempt = desk.attempt(server)
    desk.erase()
    with pytest.raises(PermanentError) as raised:
        attempt.invoke("notify", "it is done")
    assert raised.value.reason == "erased"
    assert server.requests == []
    assert desk.effects.effects() == []
