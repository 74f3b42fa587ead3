"""The real engine of Pulumi on this project: with state and stack files of its own, and the provider's double."""

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import msgspec
import yaml
from provider_double import Done, Provider

ROOT: Final = Path(__file__).parents[2]
TOOLS: Final = ROOT / ".tools" / "bin"
LONGEST_S: Final = 300.0


def missing() -> str:
    """What is not here that the engine needs; empty where all is."""
    absent = [name for name in ("pulumi", "pulumi-language-python", "uv") if not _found(name)]
    return f"not on PATH: {', '.join(absent)}" if absent else ""


def _path() -> str:
    return os.pathsep.join([os.environ["PATH"], str(TOOLS)])


def _found(name: str) -> str:
    return shutil.which(name, path=_path()) or ""


class Said(msgspec.Struct, frozen=True):
    """What a command ended with, and what it printed on both of its outputs."""

    code: int
    text: str


class EngineStack:
    """A stack of this project.

    Args:
        folder: Where its state, its stack file and the engine's caches are; the project's own files stay as they are.
        provider: What the engine talks to in place of AWS.
        port: Where that listens.
        name: Of the stack: its settings begin as those of `Pulumi.<name>.yaml`.
    """

    def __init__(self, folder: Path, provider: Provider, port: int, name: str) -> None:
        self.provider = provider
        self.file = folder / f"Pulumi.{name}.yaml"
        self._stack = name
        state = folder / "state"
        state.mkdir()
        self.file.write_text(_without_server((ROOT / self.file.name).read_text("utf-8")), "utf-8")
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "TROUPE_", "PULUMI_"))}
        self.environment = kept | {
            "PATH": _path(),
            "PULUMI_BACKEND_URL": f"file://{state}",
            "PULUMI_CONFIG_PASSPHRASE": "for a test",
            "PULUMI_HOME": str(folder / "home"),
            "PULUMI_SKIP_UPDATE_CHECK": "true",
            "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
            "PULUMI_DEBUG_PROVIDERS": f"aws:{port}",
        }
        shutil.copy(ROOT / "Pulumi.yaml", folder)
        self._must(folder, "stack", "init", name)  # it writes into the stack file that lies where it runs

    def set(self, key: str, value: str, *path: str) -> None:
        """Change a setting of the stack file."""
        at = f"troupe:{key}" + "".join(f".{each}" for each in path)
        self.must("config", "set", "--path", at, value, "--stack", self._stack, "--config-file", str(self.file))

    def preview(self) -> Said:
        """What a deployment would do."""
        return self.run("preview", *self.on_it)

    def up(self) -> list[Done]:
        """What a deployment changed."""
        return self._changed("up", "--yes", "--skip-preview")

    def destroy(self) -> Said:
        """Take everything away that may be taken away."""
        return self.run("destroy", "--yes", "--skip-preview", *self.on_it)

    def state(self) -> str:
        """All that the engine keeps of the stack."""
        return self.must("stack", "export", "--stack", self._stack)

    def must(self, *command: str) -> str:
        """What it prints; an error where it fails."""
        return self._must(ROOT, *command)

    def run(self, *command: str) -> Said:
        """What a command of Pulumi's ends with."""
        return self._run(ROOT, *command)

    def _must(self, folder: Path, *command: str) -> str:
        said = self._run(folder, *command)
        assert said.code == 0, said.text
        return said.text

    def _run(self, folder: Path, *command: str) -> Said:
        done = subprocess.run(  # noqa: S603 - the engine itself
            [_found("pulumi"), *command, "--non-interactive", "--color", "never"],
            cwd=folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LONGEST_S,
            check=False,
        )
        return Said(done.returncode, done.stdout + done.stderr)

    def _changed(self, *command: str) -> list[Done]:
        before = len(self.provider.done)
        self.must(*command, *self.on_it)
        return self.provider.done[before:]

    @property
    def on_it(self) -> tuple[str, ...]:
        """What a command says that is about this stack."""
        return ("--stack", self._stack, "--config-file", str(self.file))


def _without_server(stack_file: str) -> str:
    """With vectors by URL: the engine hashes what the program uploads, and would fetch a server's release for that."""
    given = yaml.safe_load(stack_file)
    given["config"]["troupe:vectors"] = {"kind": "url", "url": "https://vectors.example.com:6333"}
    given["config"]["troupe:network"]["nat"] = True
    return yaml.safe_dump(given)
