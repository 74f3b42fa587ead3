"""What the commands print for a program."""

import msgspec
import typer


def print_json(data: object) -> None:
    """As indented JSON, on standard output."""
    typer.echo(msgspec.json.format(msgspec.json.encode(data)).decode())
