"""Events that lie: how they are made, and what must hold whatever they say."""

import json
from collections.abc import Callable
from typing import Any

from harness import Clock
from hypothesis import strategies as st
from sample_workflows import FANNED, SINGLE, Answered, ListAsked
from target import Troupe

from functions.adapters.local.bus import Routes
from functions.events.envelope import Envelope, Frame, decode, digest, encode, pack, root_group, unpack
from functions.runtime.arrival import delivery_key, fork_group, timer_id

WORKFLOWS = (FANNED, SINGLE)
AGENTS = ("split", "handle", "collect", "work")
LIAR = "globex"

Json = Any  # whatever JSON can say
Attributes = dict[str, Json]

ODD_TEXTS = (
    "",
    " ",
    "\x00",
    "ü",
    "\u202e",
    "a#b",
    "a;b:c/d",
    "'; DROP TABLE request; --",
    "x" * 300,
    "x" * 3000,
    "x" * 70_000,
)
ODD_NUMBERS = (-1, 0, 1, 2**31, 2**53, 2**63, -(2**63), 10**30, 1e308, -0.0, 1.5)
ODD_TIMES = (
    "1970-01-01T00:00:00Z",
    "0001-01-01T00:00:00+14:00",
    "9999-12-31T23:59:59.999999-14:00",
    "2026-01-05T09:00:00",
    "2026-01-05T10:00:30+01:00",
    "2026-01-05T08:59:59Z",
    "2026-13-45T99:99:99Z",
    "2300-01-01T00:00:00Z",
)
odd_json = st.recursive(
    st.none() | st.booleans() | st.sampled_from(ODD_NUMBERS) | st.sampled_from(ODD_TEXTS[:8]) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


class Scene:
    """Two requests that must get their answers, and one whose events lie."""

    def __init__(self, troupe: Troupe, clock: Clock) -> None:
        self.troupe = troupe
        self.clock = clock
        self.sent: list[tuple[str, bytes]] = []
        self._published: set[str] = set()
        self.plan = troupe.target.plans["fanned"]
        for request, tenant, letter in (("r1", "acme", "a"), ("r2", LIAR, "b"), ("r1", LIAR, "c")):
            troupe.start(
                ListAsked(texts=(f"{letter}1", f"{letter}2")),
                request=request,
                tenant=tenant,
                conversation=f"of {request}",
            )
        self.seen = troupe.queued()

    def step(self) -> None:
        """The next delivery, whosever it is; what it publishes can be lied about from then on."""
        if any(True for _ in self.troupe.queued()):
            try:
                handed = self.troupe.take()
            except AssertionError:  # all of it is due later
                return
            self.troupe.deliver(handed)
        known = {each.id for each in self.seen}
        self.seen += [each for each in self.troupe.queued() if each.id not in known and each.tenant in ("acme", LIAR)]

    def send(self, agent: str, raw: bytes) -> None:
        """Bytes for an agent, as no honest producer would make them."""
        self.sent.append((agent, raw))
        self.troupe.target.send(agent, raw)

    def publish(self, envelope: Envelope) -> None:
        """An event on the bus, for whoever it goes to."""
        for agent in Routes(self.troupe.target.plans.values()).agents(envelope):
            key = delivery_key(envelope, agent)
            if key not in self._published:  # the same id again is a duplicate, whatever it says
                self._published.add(key)
                self.sent.append((agent, encode(envelope)))
        self.troupe.target.publish(envelope)

    def end(self) -> None:
        """Run to the end, and see that nobody but the liar paid."""
        self.troupe.run()
        assert self.troupe.settlement("r1", "acme") == Answered(texts=("A1", "A2"))
        assert self.troupe.settlement("r2", LIAR) == Answered(texts=("B1", "B2"))
        for request, tenant in (("r1", "acme"), ("r2", LIAR)):
            views = self.troupe.requests.deliveries(request, tenant=tenant)
            assert [(view.attempts, view.error) for view in views] == [(1, "")] * 4
        assert self.troupe.view("r1", LIAR).status == "settled", "no request is stuck"
        assert self.troupe.target.leases() == 0
        assert set(self.troupe.script.effects.values()) == {1}
        letters = self.troupe.target.letters()
        assert {letter.tenant for letter in letters} & {"acme"} == set()
        assert all(letter.reason for letter in letters)
        kept = {letter.event for letter in letters}
        lost = [(agent, raw[:2000]) for agent, raw in self.sent if raw not in kept and not self._is_done(agent, raw)]
        assert lost == [], f"lost: {lost}"

    def _is_done(self, agent: str, raw: bytes) -> bool:
        envelope = decode(raw)
        if agent == "collect" and envelope.name in ("Handled", "AgentFailed", "PartEnded", "ScopeExpired"):
            return True  # counted by its join
        views = self.troupe.requests.deliveries(envelope.request, tenant=envelope.tenant)
        return delivery_key(envelope, agent) in {view.key for view in views if view.finished}


def lie(scene: Scene, draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    """Bytes that look like an event of the liar: those of some event there was, with lies in them."""
    stolen = draw(st.sampled_from(scene.seen))
    told: Attributes = json.loads(encode(stolen)) | {"tenant": LIAR, "request": "r1"}
    for _ in range(draw(st.integers(0, 3))):
        _tell(scene, told, draw)
    if _is_of(told, "r2"):
        told |= {"request": "r1", "origin": ""}  # else it would be an event of r2 indeed
    return _spelled(told, draw)


def _is_of(told: Attributes, request: str) -> bool:
    """Whether an event is of this request or redrives it, as far as anybody can tell."""
    root = str(told.get("part")).partition(":")[0]
    asked = told.get("origin") or told.get("request")
    return asked == request and root == root_group(LIAR, str(told.get("conversation")), request)


def _tell(scene: Scene, told: Attributes, draw: Callable[[st.SearchStrategy[Any]], Any]) -> None:
    name = draw(st.sampled_from(Envelope.__struct_fields__))
    if draw(st.integers(0, 9)) == 0:
        told.pop(name, None)
        return
    pool = _lies(scene).get(name, st.sampled_from(ODD_TEXTS))
    told[name] = draw(pool | odd_json) if draw(st.integers(0, 3)) == 0 else draw(pool)


def _lies(scene: Scene) -> dict[str, st.SearchStrategy[Json]]:
    """What may be said of an attribute: what others say, and what nobody should."""
    seen, plans = scene.seen, scene.troupe.target.plans
    groups = sorted({frame.group for each in seen for frame in unpack(each.part)} | {"g"})
    ids = [each.id for each in seen]
    known = [*ids, *map(timer_id, groups), *(digest(each, "deadline") for each in ids), *map(fork_group, ids)]
    types = ["Piece.v1", "Handled.v1", "Answered.v1", "AgentFailed.v1", "PartEnded.v1", "ScopeExpired.v1"]
    frames = st.builds(
        Frame,
        st.sampled_from(groups),
        st.integers(0, 3),
        st.integers(0, 3) | st.just(10_000),
        st.sampled_from([each.deadline for each in seen]),
        st.lists(st.tuples(st.sampled_from(["Piece", "Answered", ""]), st.integers(-1, 3)), max_size=2).map(tuple),
    )
    return {
        "specversion": st.sampled_from(["0.3", "1.1", "", "1.0"]),
        "id": st.sampled_from([*known, *ODD_TEXTS]),
        "source": st.sampled_from([*AGENTS, "entry", "runtime", *ODD_TEXTS]),
        "type": st.sampled_from([*types, "Piece.v2", "Piece.v0", "Piece.v99999999999999999999", "Piece", ".v1", ""]),
        "time": st.sampled_from(ODD_TIMES),
        "deadline": st.sampled_from(ODD_TIMES),
        "data": odd_json,
        "dataref": st.sampled_from([*ids, "gone", "../troupe.sqlite", "lock", *ODD_TEXTS]),
        "workflow": st.sampled_from(["fanned", "single", "nowhere", *ODD_TEXTS]),
        "conversation": st.sampled_from(["of r1", "of r2", *ODD_TEXTS]),
        "request": st.sampled_from(["r1", "r2", "ghost", *ODD_TEXTS]),
        "tenant": st.sampled_from([LIAR, "nobody", *ODD_TEXTS]),
        "part": st.sampled_from([each.part for each in seen])
        | st.lists(frames, max_size=4).map(lambda lineage: pack(tuple(lineage)))
        | st.sampled_from(["g:0/1", "::::", "g:0/1:0:;" * 2000, "g:0/1:99999999999999999999:", "g:٣/٤:0:"]),
        "planversion": st.sampled_from([*(plan.version for plan in plans.values()), "0" * 12, *ODD_TEXTS]),
        "target": st.sampled_from([*AGENTS, "runtime", "entry", "nobody", ""]),
        "hop": st.sampled_from(ODD_NUMBERS),
        "generation": st.sampled_from([0, 1, 2, *ODD_NUMBERS]),
        "priority": st.sampled_from(["high", "normal", "low", "urgent", ""]),
    }


def _spelled(told: Attributes, draw: Callable[[st.SearchStrategy[Any]], Any]) -> bytes:
    raw = json.dumps(told).encode()
    how = draw(st.sampled_from(["well"] * 8 + ["cut", "not UTF-8", "deep", "twice", "surrogate", "other"]))
    if how == "cut":
        return raw[: draw(st.integers(0, len(raw)))]
    if how == "not UTF-8":
        place = draw(st.integers(0, len(raw)))
        return raw[:place] + b"\xff\xfe" + raw[place:]
    if how == "deep":
        depth = draw(st.sampled_from([100, 900, 1000, 5000, 100_000]))
        return raw[:-1] + b',"data":' + b"[" * depth + b"]" * depth + b"}"
    if how == "twice":
        return raw[:-1] + b',"tenant":"' + LIAR.encode() + b'","id":"again"}'
    if how == "surrogate":
        return raw[:-1] + b',"conversation":"\\ud800"}'
    return draw(st.binary(max_size=64)) if how == "other" else raw
