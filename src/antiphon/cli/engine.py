"""`antiphon engine`: an engine that is built for this machine."""

from typing import Annotated

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors, tell
from antiphon.settings import load_settings

app = typer.Typer(help="Build an engine for this machine.", no_args_is_help=True)


@app.callback()
def group() -> None:
    pass


@app.command()
def build(
    jobs: Annotated[int, typer.Option(min=1, help="How many files are compiled at once.")] = 2,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Compile llama.cpp for this processor; `antiphon tune` then takes it for a model where it is faster."""
    from antiphon.engines import building

    with plain_errors():
        settings = load_settings(config, data_dir=data_dir)
        path = building.build(settings.data_dir, jobs, lambda words: typer.echo(words, err=True))
    tell(
        {"binary": str(path)},
        f"{path} is built. `antiphon tune` finds out for which models to use it.",
        as_json=as_json,
    )
