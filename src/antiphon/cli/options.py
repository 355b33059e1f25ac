"""What every command has in common."""

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

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
