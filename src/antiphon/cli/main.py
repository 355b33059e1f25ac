"""The commands, with their options."""

import json
from pathlib import Path
from typing import Annotated

import typer

from antiphon import __version__
from antiphon.cli import batch, db, keys, limits, members, workspaces
from antiphon.cli import engine as built
from antiphon.cli.audit import audit
from antiphon.cli.cache import cache
from antiphon.cli.options import AsJson, Config, DataDir, plain_errors
from antiphon.cli.tune import tune
from antiphon.cli.usage import usage
from antiphon.core.errors import OperatorError
from antiphon.settings import Settings, load_settings

app = typer.Typer(
    name="antiphon", help="The Claude API that you run yourself.", no_args_is_help=True, pretty_exceptions_enable=False
)
app.add_typer(db.app, name="db")
app.command()(usage)
app.add_typer(keys.app, name="keys")
app.add_typer(batch.app, name="batch")
app.add_typer(workspaces.app, name="workspaces")
app.add_typer(limits.app, name="limits")
app.add_typer(members.app, name="members")
app.add_typer(members.invites, name="invites")
app.command()(audit)
app.command()(cache)
app.command()(tune)
app.add_typer(built.app, name="engine")


@app.command()
def serve(
    model: Annotated[str | None, typer.Option(help="NAME, PATH.gguf or hf:org/repo[:quant].")] = None,
    mmproj: Annotated[
        Path | None, typer.Option(help="The projector (mmproj*.gguf) that makes the model see.", show_default=False)
    ] = None,
    engine: Annotated[str | None, typer.Option(help="The URL of an engine that runs already.")] = None,
    fake: Annotated[
        bool, typer.Option("--fake", help="Serve the scripted models: no weights, deterministic, fast.")
    ] = False,
    host: Annotated[str | None, typer.Option(help="The address to listen on. [default: 127.0.0.1]")] = None,
    port: Annotated[int | None, typer.Option(help="The port to listen on. [default: 8484]")] = None,
    kv_dir: Annotated[
        Path | None, typer.Option(help="Keep computed prompts there, over a restart. [default: in memory]")
    ] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Serve the API. With --json the keys of a first start are one line of JSON."""
    from antiphon.cli.serve import serve as run

    with plain_errors():
        wanted = "fake:" if fake else engine
        settings = load_settings(
            config,
            model=model,
            mmproj=mmproj,
            engine=wanted,
            host=host,
            port=port,
            kv_dir=kv_dir,
            data_dir=data_dir,
        )
        run(settings, as_json=as_json)


@app.command()
def worker(
    engine: Annotated[str | None, typer.Option(help="The URL of an engine that runs already.")] = None,
    fake: Annotated[bool, typer.Option("--fake", help="Work with the scripted models.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Run batches in a process of its own, beside servers that share its database."""
    from antiphon.cli.worker import work

    with plain_errors():
        work(load_settings(config, engine="fake:" if fake else engine, data_dir=data_dir))


@app.command()
def logs(
    request: Annotated[str, typer.Option(help="The id of a request: req_…")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Find what became of a request."""
    from antiphon.telemetry.requests import find_request

    with plain_errors():
        settings: Settings = load_settings(config, data_dir=data_dir)
        line = find_request(settings.data_dir / "logs", request)
        if line is None:
            raise OperatorError(f"No request {request!r} is in the log of {settings.data_dir}.")
    if as_json:
        typer.echo(json.dumps(line))
    else:
        for name, value in line.items():
            typer.echo(f"{name:14} {json.dumps(value)}")


@app.command()
def version(data_dir: DataDir = None, as_json: AsJson = False) -> None:
    """Print the version."""
    typer.echo(json.dumps({"version": __version__}) if as_json else __version__)
