"""What the settings of a stack become for its functions: what one machine is told too, and what is declared."""

from collections.abc import Iterable
from typing import Final

from functions.adapters.aws import models as bedrock
from functions.adapters.encoders.minilm_artefact import DIMENSION, FP32, W8
from functions.adapters.models import settings as model
from functions.adapters.vectors import settings as vectors
from functions.entry_points.aws.environment import Contract, Declared
from functions.runtime.workflow import Plan
from infra.settings import CollectionSettings, Settings

DAY_S: Final = 86_400
ENCODERS: Final = {"minilm": FP32.version, "minilm-8bit": W8.version}
VECTOR_URL: Final = vectors.URL
MICROS: Final = 1_000_000  # of a dollar


def told(chosen: Settings) -> dict[str, str]:
    """By name; what a stack leaves out is not set."""
    named = {
        vectors.STORE: chosen.vectors.store,
        vectors.URL: chosen.vectors.url,
        model.URL: _model_url(chosen),
        model.MODEL: chosen.model.id if chosen.model else "",
        model.PRICE: _price(chosen),
        "TROUPE_ACTIONS": chosen.actions,
        "TROUPE_PERSONAL_DATA": chosen.personal_data,
    }
    return {name: value for name, value in named.items() if value}


def declared(chosen: Settings, plans: Iterable[Plan]) -> dict[str, Declared]:
    """The collections that the agents of these workflows read or write, by name."""
    named = {name for plan in plans for name, kind in plan.workflow.resources.items() if kind == "collection"}
    return {name: _declared(chosen.collections.get(name, CollectionSettings())) for name in sorted(named)}


def contract(chosen: Settings) -> Contract:
    """What the stack changes in the deliveries of every agent."""
    given = chosen.delivery
    return Contract(
        attempts=given.attempts,
        backoff_min_s=given.backoff_min_s,
        backoff_max_s=given.backoff_max_s,
        max_age_s=given.max_age_s,
    )


def micros(usd: float | None) -> int | None:
    """Millionths of a dollar."""
    return None if usd is None else round(usd * MICROS)


def _declared(given: CollectionSettings) -> Declared:
    return Declared(
        version=given.version,
        encoder=ENCODERS[given.encoder],
        dimension=DIMENSION,
        ttl_s=None if given.ttl_days is None else given.ttl_days * DAY_S,
    )


def _model_url(chosen: Settings) -> str:
    if chosen.model is None:
        return ""
    return chosen.model.url if chosen.model.kind == "openai" else bedrock.NAME


def _price(chosen: Settings) -> str:
    if chosen.model is None or chosen.model.usd_per_million is None:
        return ""
    return "/".join(f"{usd:f}" for usd in chosen.model.usd_per_million)
