"""`antiphon db`: look after the database."""

import json
from pathlib import Path
from typing import Annotated

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors
from antiphon.core.errors import OperatorError
from antiphon.settings import load_settings

app = typer.Typer(help="Look after the database.", no_args_is_help=True)


@app.command()
def upgrade(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Bring its tables to this release's version. `antiphon serve` does so too."""
    from antiphon.cli.books import with_new_database
    from antiphon.store import schema
    from antiphon.store.db import Database

    async def bring(database: Database) -> tuple[str | None, str | None]:
        return await schema.upgrade(database), await schema.version(database)

    with plain_errors():
        before, version = with_new_database(load_settings(config, data_dir=data_dir), bring)
    _tell({"before": before, "version": version}, f"The tables are of version {version}.", as_json=as_json)


@app.command()
def check(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Look for faults; exits with 1 if there is one."""
    from antiphon.cli.books import with_database
    from antiphon.store.care import faults_of

    with plain_errors():
        faults = with_database(load_settings(config, data_dir=data_dir), faults_of)
        _tell({"faults": faults}, "\n".join(faults) or "The database is whole.", as_json=as_json)
        if faults:
            raise OperatorError("The database is not whole: restore a backup, or upgrade it if it is too old.")


@app.command()
def backup(
    folder: Annotated[Path, typer.Argument(help="A new folder for the copies.")],
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Copy the database, the secret and the uploaded files, while the server runs."""
    from antiphon.cli.books import with_database
    from antiphon.store import schema
    from antiphon.store.care import back_up
    from antiphon.store.db import Database

    async def copy(database: Database) -> list[str]:
        if await schema.version(database) is None:
            raise OperatorError(f"There is nothing in {settings.data_dir} yet: start `antiphon serve` first.")
        return [str(path) for path in back_up(database, settings.data_dir, folder, settings.files_folder)]

    with plain_errors():
        settings = load_settings(config, data_dir=data_dir)
        copies = with_database(settings, copy)
    _tell({"files": copies}, "Copied to:\n" + "\n".join(copies), as_json=as_json)


def _tell(data: dict[str, object], words: str, *, as_json: bool) -> None:
    typer.echo(json.dumps(data) if as_json else words)
