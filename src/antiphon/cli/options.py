"""What every command has in common."""

import json
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from antiphon.core.errors import OperatorError

DataDir = Annotated[Path | None, typer.Option(help="Where keys, logs and models are kept.")]
Config = Annotated[Path | None, typer.Option(help="A TOML file of settings.", exists=True, dir_okay=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]


@contextmanager
def plain_errors() -> Generator[None]:
    """An operator's mistake ends the command with one sentence and status 1."""
    try:
        yield
    except OperatorError as error:
        typer.echo(f"antiphon: {error}", err=True)
        raise typer.Exit(1) from None


def tell(data: Any, words: str, *, as_json: bool) -> None:
    """Print the result of a command: `data` as JSON, or `words`."""
    typer.echo(json.dumps(data) if as_json else words)


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows as aligned columns; the first holds their heads."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)
