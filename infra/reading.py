"""Reads the settings of a stack, and tells everything that is wrong with them at once: the only reader of Pulumi's."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from infra import rules, shapes
from infra.naming import Names
from infra.settings import AgentSettings, Settings, SettingsError, schema

if TYPE_CHECKING:
    import pulumi


def settings(config: "pulumi.Config") -> Settings:
    """What the stack file says that Pulumi runs this program with.

    Raises:
        SettingsError: With everything that is wrong.
    """
    import pulumi  # noqa: PLC0415 - slow, and the schema and the commands need none
    from pulumi.runtime import config as given  # noqa: PLC0415

    every = {**(given.get_config_env() or {}), **given.CONFIG.get()}
    begin = f"{config.name}:"
    texts = {key.removeprefix(begin): text for key, text in every.items() if key.startswith(begin)}
    encrypted = given.get_config_secret_keys_env()
    hidden = {key for key in texts if given.is_config_secret(begin + key) or begin + key in encrypted}
    values = {key: shapes.ENCRYPTED if key in hidden else _value(key, text) for key, text in texts.items()}
    return read(values, Names(project=pulumi.get_project(), stack=pulumi.get_stack()))


def read(given: Mapping[str, object], names: Names) -> Settings:
    """The settings that these values are, as the stack file has them, without the `troupe:` before each key.

    Raises:
        SettingsError: With everything that is wrong.
    """
    usable, found = shapes.checked(given, schema())
    read = _kept_warm(msgspec.convert(usable, Settings), usable.get("agents", {}))
    wrong = [each.key for each in found]
    found += [each for each in rules.problems(read, names) if not each.follows(wrong)]
    if found:
        raise SettingsError([each.sentence for each in sorted(found)])
    return read


def _kept_warm(settings: Settings, given: Mapping[str, Mapping[str, object]]) -> Settings:
    """With what the stack keeps warm of each agent, where the agent's own settings do not say."""
    asked = [name for name in rules.answering(settings) if not given.get(name, {}).keys() & {"warm", "snapStart"}]
    kept = {
        name: msgspec.structs.replace(settings.agents.get(name, AgentSettings()), warm=settings.warm)
        for name in sorted(asked)
    }
    return msgspec.structs.replace(settings, agents={**settings.agents, **kept}) if settings.warm else settings


def _value(key: str, text: str) -> object:
    """What the file had: Pulumi hands on a text as it is, and everything else as JSON."""
    if schema()["properties"].get(key, {}).get("type") == "string":
        return text
    try:
        return json.loads(text)
    except ValueError:
        return text
