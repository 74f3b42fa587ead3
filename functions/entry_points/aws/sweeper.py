"""The sweeper: every minute, what nobody else would end.

Requests past their deadline, connections that watch a request which nobody told them the end of, and what fell into the
nets: each message there becomes a dead letter, and its request ends as it would have after the last attempt. A message
is deleted only after that. It needs no vector store, and so stands in no network: erasures are the keeper's.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import msgspec

from functions.adapters.aws.nets import Fallen, Net
from functions.api.pushing import push
from functions.entry_points.aws.invocation import LambdaContext
from functions.entry_points.aws.services import Services, services
from functions.errors import TroupeError
from functions.ports.state import DeadLetter
from functions.runtime.dead_letters import unreadable
from functions.runtime.delivery import Lost, Ports, give_up

MOST_TOLD: Final = 100  # connections, in one round
MARGIN_S: Final = 15.0  # of the function's time, for the message that it is at

log = logging.getLogger("troupe.sweeper")


class SweepError(TroupeError):
    """Some of it could not be done; the next round tries again."""


@dataclass(frozen=True)
class Round:
    """What a round does.

    Attributes:
        steps: By name; each gives how much there was.
        nets: By agent or service.
        ports: What a delivery is handed, for the agents of this stack.
        agents: Those that some plan has.
        now: The time, in UTC.
    """

    steps: Mapping[str, Callable[[], int]]
    nets: Mapping[str, Net]
    ports: Callable[[], Ports]
    agents: frozenset[str]
    now: Callable[[], datetime]


def swept(round_: Round, remaining_s: Callable[[], float]) -> dict[str, int]:
    """How much there was of each; where one fails, the others are done all the same.

    Raises:
        SweepError: Some failed.
    """
    counts, failed = dict[str, int](), list[str]()
    for name, step in _steps(round_, remaining_s):
        try:
            counts[name] = step()
        except Exception as error:
            log.exception("%s: tried again by the next round", name)
            failed.append(f"{name}: {type(error).__name__}: {error}")
    if failed:
        raise SweepError(f"{len(failed)} of {len(counts) + len(failed)} steps failed: {'; '.join(failed)}")
    return counts


def _steps(round_: Round, remaining_s: Callable[[], float]) -> Iterator[tuple[str, Callable[[], int]]]:
    yield from round_.steps.items()
    for name, net in round_.nets.items():
        yield f"net of {name}", lambda name=name, net=net: _emptied(name, net, round_, remaining_s)  # type: ignore[misc]


def _emptied(name: str, net: Net, round_: Round, remaining_s: Callable[[], float]) -> int:
    """How many messages of a net became dead letters, or turned out to be done."""
    ended, failed = 0, list[Exception]()
    while remaining_s() > MARGIN_S and (fallen := net.receive()):
        for message in fallen:
            try:
                is_over = _ended(name, message, round_)
            except Exception as error:  # noqa: BLE001 - it stays in the net, and the others go on
                failed.append(error)
                continue
            if is_over:
                net.remove(message)
                ended += 1
    if failed:
        raise failed[0]
    return ended


def _ended(name: str, message: Fallen, round_: Round) -> bool:
    """Whether a message needs nothing more."""
    if message.due is not None and message.due > round_.now():
        return False  # a timer, which is of use only then
    lost, ports = lost_of(message), round_.ports()
    if name in round_.agents:
        return give_up(name, message.body, lost, ports).due is None
    ports.state.park(_letter(name, message, lost, round_.now()))
    return True


def lost_of(message: Fallen) -> Lost:
    """Why a message fell: EventBridge says so where it could not deliver, and SQS only counts."""
    if message.rule:
        return Lost(
            reason="not delivered",
            error=f"EventBridge could not deliver it: {message.error or 'it does not say why'} ({message.rule})",
            attempts=0,
        )
    attempts = max(message.received - 1, 1)  # the last time it was received was just now
    times = "once" if attempts == 1 else f"{attempts} times"
    return Lost(
        reason="crashed",
        error=f"it was received {times} and never acknowledged: its function crashed, or ran into its time limit",
        attempts=attempts,
    )


def _letter(name: str, message: Fallen, lost: Lost, now: datetime) -> DeadLetter:
    """Of a service's message: what it was about is mended by the other steps."""
    letter = unreadable(name, message.body, SweepError(lost.error), now)
    return msgspec.structs.replace(letter, reason=lost.reason, attempt=lost.attempts)


def _told(found: Services) -> int:
    """Tell connections what became of requests past their deadline; how many there were."""
    watches = found.sockets.overdue(MOST_TOLD)
    for watch in watches:
        push(found.pushed, found.sockets, found.connections.post, watch)
    return len(watches)


def handler(_event: Mapping[str, Any], context: LambdaContext) -> dict[str, int]:
    """What Lambda calls."""
    found = services().begun(context)
    stack = found.stack
    steps: dict[str, Callable[[], int]] = {"overdue": found.requests.sweep}
    if stack.deployed.socket_url:
        steps["told"] = lambda: _told(found)
    emptied = (*sorted(stack.agents), *stack.deployed.services)
    round_ = Round(
        steps=steps,
        nets={name: Net(stack.aws, stack.queue(name, "dead")) for name in emptied},
        ports=found.ports,
        agents=stack.agents,
        now=stack.now,
    )
    return swept(round_, found.left_s)
