"""What must hold between the settings of a stack, and between them and the workflows: what a shape cannot say."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import cache
from ipaddress import IPv4Network
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Final
from urllib.parse import SplitResult, urlsplit

import msgspec

from functions.adapters.actions.settings import ActionSettingsError
from functions.adapters.models.prices import UnknownPriceError, listed_price
from functions.adapters.models.settings import is_near, url_problems
from functions.events.answer import UserMessage
from functions.ports.actions import Invoke
from functions.runtime.agent import AgentSpec
from functions.runtime.topology import topology
from functions.runtime.workflow import Node, Plan
from functions.workflows.catalog import WORKFLOWS
from infra import called, naming
from infra.aws import limits
from infra.naming import Names
from infra.problem import Problem, holds_key, may_be_secret, shown

if TYPE_CHECKING:
    from functions.events.event import Event
    from infra.settings import Settings

_NAME: Final = re.compile(r"[A-Za-z0-9/_+=.@-]{1,512}")  # of a secret, as Secrets Manager takes them
_ARN: Final = re.compile(r"arn:aws:secretsmanager:([a-z0-9-]+):\d{12}:secret:[A-Za-z0-9/_+=.@-]{1,519}")
_BEDROCK: Final = re.compile(
    r"[A-Za-z0-9._:-]+|arn:aws:bedrock:([a-z0-9-]+):(?:\d{12})?:(?!application-)[a-z-]+/[A-Za-z0-9._:/-]+"
)
_INSTEAD: Final = (
    "put the secret into AWS Secrets Manager (aws secretsmanager create-secret --name …), and its name or ARN here"
)
_PRIVATE: Final = tuple(IPv4Network(each) for each in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))
_ORIGIN: Final = re.compile(r"(https://[a-z0-9.-]+|http://localhost)(:\d{1,5})?")  # as browsers write it
_LOOPBACK: Final = re.compile(r"localhost$|127\.|::1$")  # where an emulator runs functions
_TAKEN: Final = ("bus", "vectors", "alarms")  # what else has a queue, a role or a topic of the stack's


def problems(settings: "Settings", names: Names) -> list[Problem]:
    """Everything that does not hold."""
    return [problem for rule in _RULES for problem in rule(settings)] + list(_names(settings, names))


def plans(settings: "Settings") -> dict[str, Plan]:
    """The plans of the workflows that are deployed, by name."""
    return {name: plan for name, plan in _all_plans().items() if name in settings.workflows}


def answering(settings: "Settings") -> set[str]:
    """The agents between a question and its answer, for which somebody waits."""
    return {
        name for plan in plans(settings).values() if plan.workflow.entry is UserMessage for name in _way(plan, settings)
    }


def _way(plan: Plan, settings: "Settings") -> set[str]:
    specs = {name: node.spec for name, node in plan.nodes.items() if settings.actions or not _calls(node.spec)}
    found: set[str] = set()
    wanted: set[type[Event]] = {plan.workflow.answer}
    while more := {name for name, spec in specs.items() if wanted & {*spec.emits, *spec.fans_out}} - found:
        found |= more
        wanted |= {event for name in more for event in specs[name].consumes}
    return found


def _calls(spec: AgentSpec) -> bool:
    """Whether it only calls declared actions, so that nobody asks it where there are none."""
    return any(grant.capability is Invoke for grant in spec.grants)


@cache
def _all_plans() -> dict[str, Plan]:
    return topology(*WORKFLOWS.values())


# --------------------------------------------------------------------------------------------- where and what


def _region(settings: "Settings") -> Iterator[Problem]:
    if settings.region not in limits.REGIONS:
        yield Problem("region", f"is {shown(settings.region)}: {_choice(settings.region, limits.REGIONS)}")


def _workflows(settings: "Settings") -> Iterator[Problem]:
    for name in sorted(set(settings.workflows)):
        if name not in WORKFLOWS:
            yield Problem("workflows", f"names {shown(name)}, which is none: {_choice(name, WORKFLOWS)}")
        elif settings.workflows.count(name) > 1:
            yield Problem("workflows", f"names {name} twice: once will do")
    if settings.ingest and "ingest" not in settings.workflows:
        yield Problem(
            "ingest",
            "is true, and the workflow ingest is not deployed: add it to workflows, or give false",
            ("workflows",),
        )


def _agents(settings: "Settings") -> Iterator[Problem]:
    known = _nodes(settings)
    for name, agent in settings.agents.items():
        key = f"agents.{name if name.isidentifier() else '…'}"
        if name not in known:
            yield Problem(key, f"is no agent of a deployed workflow: {_choice(name, known)}", ("workflows",))
        if agent.concurrency is not None and agent.warm > agent.concurrency:
            yield Problem(
                f"{key}.warm",
                f"is {agent.warm}, more than the {agent.concurrency} events that it works on at once: "
                f"give at most {agent.concurrency}, or raise concurrency",
                (f"{key}.concurrency",),
            )
        if agent.snap_start and agent.warm:
            yield Problem(
                f"{key}.snapStart",
                "is true beside warm: Lambda has one or the other for a function, so leave one out",
                (f"{key}.warm",),
            )


def _delivery(settings: "Settings") -> Iterator[Problem]:
    """The bounds of a wait, where the stack changes one of them and an agent's file says the other."""
    given = settings.delivery
    lowest, highest = given.backoff_min_s, given.backoff_max_s
    keys = "delivery.backoffMinSeconds", "delivery.backoffMaxSeconds"
    if lowest is not None and highest is not None:
        if lowest > highest:
            yield Problem(
                keys[0],
                f"is {lowest:g}, more than backoffMaxSeconds, {highest:g}: give at most {highest:g}",
                keys[1:],
            )
        return
    for name, node in sorted(_nodes(settings).items()):
        own = node.spec.delivery.backoff
        if lowest is not None and lowest > own.maximum_s:
            yield Problem(
                keys[0],
                f"is {lowest:g}, more than the {own.maximum_s:g} at most of {name}: give backoffMaxSeconds too",
            )
            return
        if highest is not None and own.minimum_s > highest:
            yield Problem(
                keys[1],
                f"is {highest:g}, less than the {own.minimum_s:g} at least of {name}: give backoffMinSeconds too",
            )
            return


def _collections(settings: "Settings") -> Iterator[Problem]:
    known = {
        name
        for plan in plans(settings).values()
        for name, kind in plan.workflow.resources.items()
        if kind == "collection"
    }
    for name in settings.collections:
        if name not in known:
            key = f"collections.{name if name.isidentifier() else '…'}"
            yield Problem(key, f"is no collection of a deployed workflow: {_choice(name, known)}", ("workflows",))


# --------------------------------------------------------------------------------------------- who may see what


def _encryption(settings: "Settings") -> Iterator[Problem]:
    if settings.encryption.startswith("arn:") and settings.encryption.split(":")[3] != settings.region:
        yield Problem("encryption", f"is a key of another region than {settings.region}: name one of it", ("region",))


def _secrets(settings: "Settings") -> Iterator[Problem]:
    """A value is never in a sentence: it may be the secret itself."""
    for purpose, given in settings.secrets.items():
        key = f"secrets.{purpose}"
        arn = _ARN.fullmatch(given)
        if given.startswith("arn:"):
            if arn is None:
                yield Problem(key, f"is an ARN, but of no secret: {_INSTEAD}")
            elif arn[1] != settings.region:
                yield Problem(key, f"is of another region than {settings.region}: name one of it", ("region",))
        elif may_be_secret(given):
            yield Problem(
                key, f"looks like the secret itself: {_INSTEAD}; then make a new secret, since this file had it"
            )
        elif not _NAME.fullmatch(given):
            yield Problem(key, f"is no name of a secret: {_INSTEAD}")


def _keys_elsewhere(settings: "Settings") -> Iterator[Problem]:
    """Every other setting is in the state of the stack, or in the environment of functions, for all to see."""
    for path, text in _texts(msgspec.to_builtins(settings)):
        if path[0] != "secrets" and holds_key(text):
            yield Problem(
                ".".join(path), "holds what looks like a key: put it into AWS Secrets Manager, and make a new one"
            )


def _texts(value: object, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    if isinstance(value, str):
        yield path, value
    for key, each in value.items() if isinstance(value, Mapping) else ():
        yield from _texts(each, (*path, key))
    for each in value if isinstance(value, list | tuple) else ():
        yield from _texts(each, path)


def _personal_data(settings: "Settings") -> Iterator[Problem]:
    if settings.personal_data != "keep" and "personal" not in settings.secrets:
        yield Problem(
            "secrets.personal",
            f"is not set, and personalData is {settings.personal_data}, which needs a key: name its secret",
            ("personalData",),
        )


def _callers(settings: "Settings") -> Iterator[Problem]:
    if settings.api.auth == "api-key" and "api-keys" not in settings.secrets:
        yield Problem(
            "secrets.api-keys",
            "is not set, and callers of the API are known by their keys (api.auth): name the secret that holds them",
            ("api.auth",),
        )
    for origin in settings.api.origins:
        if not _ORIGIN.fullmatch(origin):
            yield Problem(
                "api.origins",
                f"has {shown(origin)}, which is no page's origin: give scheme and host only, e.g. "
                "https://app.example.com, and http for localhost alone",
            )


def _tokens(settings: "Settings") -> Iterator[Problem]:
    api = settings.api
    if api.auth != "jwt":
        for key, given in (("issuer", api.issuer), ("audience", api.audience)):
            if given:
                what = f"is set, and api.auth is {api.auth}: leave it out, or choose jwt"
                yield Problem(f"api.{key}", what, ("api.auth",))
        return
    if not api.audience:
        yield Problem("api.audience", "is not set, and api.auth is jwt: give what tokens for this API name there")
    if not api.issuer:
        yield Problem("api.issuer", "is not set, and api.auth is jwt: give the https URL of whoever issues tokens")
    elif not _is_issuer(api.issuer):
        what = "is no https URL of host and path alone: give one, e.g. https://login.example.com/"
        yield Problem("api.issuer", what)
    if api.websocket and "api-keys" not in settings.secrets:
        yield Problem(
            "api.websocket",
            "is true, and API Gateway reads tokens for the HTTP API alone, so that nobody could connect: give "
            "false, or name the secret api-keys, whose keys are read there",
            ("api.auth", "secrets"),
        )


def _is_issuer(url: str) -> bool:
    """A user, a password or a query would be in the state of the stack, and in no token's `iss`."""
    parts = _parts(url)
    more = "@" in parts.netloc or parts.query or parts.fragment or " " in url
    return parts.scheme == "https" and bool(parts.hostname) and not more


# --------------------------------------------------------------------------------------------- who reaches whom


def _network(settings: "Settings") -> Iterator[Problem]:
    network = settings.network
    try:
        addresses = IPv4Network(network.cidr)
    except ValueError:
        yield Problem("network.cidr", f"is {network.cidr}, which is no network: give e.g. 10.20.0.0/16")
    else:
        if not any(addresses.subnet_of(each) for each in _PRIVATE):
            yield Problem("network.cidr", f"is {network.cidr}, which is not private: give e.g. 10.20.0.0/16")
    if network.nat and not network.vpc:
        yield Problem(
            "network.nat",
            "is true, and functions stand in no network of the stack: leave it out, or give network.vpc",
            ("network.vpc",),
        )
    if network.vpc and not (network.endpoints or network.nat):
        yield Problem(
            "network.endpoints",
            "is false, and there is no nat: functions would not reach AWS's services, so give one of the two",
            ("network.vpc", "network.nat"),
        )


def _vectors(settings: "Settings") -> Iterator[Problem]:
    vectors = settings.vectors
    if vectors.kind == "self-hosted":
        if not settings.network.vpc:
            yield Problem(
                "vectors.kind",
                "is self-hosted, and functions stand in no network to reach it by: give network.vpc, or kind url",
                ("network.vpc",),
            )
        if vectors.store != "qdrant":
            yield Problem(
                "vectors.store",
                f"is {vectors.store}, and the stack's own server is Qdrant: choose it, or give kind url",
                ("vectors.kind",),
            )
        if vectors.url:
            yield Problem(
                "vectors.url", "is set, and kind is self-hosted: leave it out, or give kind url", ("vectors.kind",)
            )
        return
    if vectors.url or vectors.store != "pinecone":
        yield from _service(settings, "vectors", vectors.url, "vectors")
    if vectors.store == "pinecone" and "vectors" not in settings.secrets:
        yield Problem("secrets.vectors", "is not set, and Pinecone needs a key: name its secret", ("vectors",))
    if vectors.store == "pinecone" and not vectors.url:
        yield from _outside(settings, "vectors.store", "is pinecone")


def _model(settings: "Settings") -> Iterator[Problem]:
    model = settings.model
    if model is None:
        return
    if model.kind == "bedrock":
        if model.url:
            yield Problem("model.url", "is set, and Bedrock is found without one: leave it out", ("model.kind",))
        yield from _of_bedrock(model.id, settings.region)
    else:
        yield from _service(settings, "model", model.url, "model")
        if "model" not in settings.secrets and not is_near(_parts(model.url).hostname or "localhost"):
            yield Problem(
                "secrets.model",
                "is not set, and a model by URL needs a key: name its secret",
                ("model.kind", "model.url"),
            )
    if model.usd_per_million is None:
        try:
            listed_price(model.id)
        except UnknownPriceError:
            yield Problem(
                "model.usdPerMillion",
                f"is not set, and no price is known for {shown(model.id)}, which budgets need: give dollars for a "
                "million tokens read, and written, e.g. [0.15, 0.60], or [0, 0] where it costs nothing",
                ("model.id",),
            )


def _of_bedrock(name: str, region: str) -> Iterator[Problem]:
    """A role is allowed the models that a profile asks, which an application's profile does not tell."""
    found = _BEDROCK.fullmatch(name)
    if found is None:
        yield Problem(
            "model.id",
            f"is {shown(name)}: give the id or the ARN of one model of Bedrock or of one of Bedrock's profiles, not of "
            "an application's",
            ("model.kind",),
        )
    elif found[1] and found[1] != region:
        yield Problem("model.id", f"is of another region than {region}: name one of it", ("model.kind", "region"))


def _service(settings: "Settings", section: str, url: str, secret: str) -> Iterator[Problem]:
    """A service by URL: one that can be called, with its key out of sight, and that functions reach."""
    key = f"{section}.url"
    wrong = url_problems(
        url,
        setting=f"troupe:{key}",
        key=f"the secret that troupe:secrets.{secret} names",
        has_key=secret in settings.secrets,
        expected="the service's URL, e.g. https://api.example.com/v1",
    )
    yield from (Problem(key, each.removeprefix(f"troupe:{key} "), (f"{section}.kind",)) for each in wrong)
    host = _parts(url).hostname or ""
    if not wrong and not is_near(host):
        yield from _outside(settings, key, "is outside the stack's network")
    elif not wrong and not settings.network.vpc and not _LOOPBACK.match(host):
        yield Problem(key, "is of a private network, and functions stand in none: give network.vpc", ("network.vpc",))


def _outside(settings: "Settings", key: str, what: str) -> Iterator[Problem]:
    if settings.network.vpc and not settings.network.nat:
        yield Problem(
            key, f"{what}, and functions do not reach it from there: give network.nat", ("network.vpc", "network.nat")
        )


def _actions(settings: "Settings") -> Iterator[Problem]:
    if not settings.actions:
        return
    path = PurePath(settings.actions)
    if path.is_absolute() or ".." in path.parts or not _is_inside(called.ROOT / path):
        what = "is outside the project, or not named from its root: functions carry the file, so give e.g. actions.toml"
        yield Problem("actions", what)
        return
    try:
        declared = called.actions(settings)
    except ActionSettingsError as error:
        yield Problem("actions", f"is not what functions take: {error}")
        return
    except (OSError, ValueError) as error:
        yield Problem(
            "actions", f"is {shown(settings.actions)}, which is no TOML file of this project ({type(error).__name__})"
        )
        return
    if "actions" not in settings.secrets and any(
        header.secret for action in declared.values() for header in action.headers.values()
    ):
        yield Problem(
            "secrets.actions", f"is not set, and {settings.actions} refers to secrets: name the one that holds them"
        )
    if not all(is_near(action.target.host) for action in declared.values()):
        yield from _outside(settings, "actions", "calls servers outside the stack's network")


def _is_inside(file: Path) -> bool:
    try:
        return file.resolve().is_relative_to(called.ROOT.resolve())
    except OSError:
        return False


# --------------------------------------------------------------------------------------------- what it costs, and names


def _budget(settings: "Settings") -> Iterator[Problem]:
    if settings.budget.usd_per_month is not None and not (settings.alarms and settings.alarms.email):
        yield Problem(
            "budget.usdPerMonth",
            "is set, and nobody is told when it is passed: give alarms.email",
            ("alarms",),
        )


def _names(settings: "Settings", names: Names) -> Iterator[Problem]:
    agents = sorted(_nodes(settings))
    for name in agents:
        if name in (*limits.SERVICES, *_TAKEN):
            yield Problem("workflows", f"have an agent {name}, as a part of every stack is called: rename the agent")
    tag = " ".join(settings.workflows)
    if len(tag) > limits.TAG:
        what = f"have {len(tag)} characters together, and the tag that lists them takes {limits.TAG}"
        yield Problem("workflows", f"{what}: deploy some as a stack of their own")
    for said in naming.problems(limits.names(names, agents)):
        yield Problem("workflows", f"and the stack's name make a name that AWS refuses: {said}")


def _nodes(settings: "Settings") -> dict[str, Node]:
    return {name: node for plan in plans(settings).values() for name, node in plan.nodes.items()}


def _parts(url: str) -> SplitResult:
    try:
        return urlsplit(url)
    except ValueError:
        return urlsplit("")


def _choice(given: str, known: Iterable[str]) -> str:
    near = get_close_matches(given, list(known), n=1)
    return f"did you mean {near[0]}?" if near else f"use one of {', '.join(sorted(known))}"


_RULES: Final[tuple[Callable[["Settings"], Iterator[Problem]], ...]] = (
    *(_region, _workflows, _agents, _delivery, _collections),
    *(_encryption, _secrets, _keys_elsewhere, _personal_data, _callers, _tokens),
    *(_network, _vectors, _model, _actions),
    _budget,
)
