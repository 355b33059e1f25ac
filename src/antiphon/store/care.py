"""Looking after a database: is it whole, and a copy of it."""

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from antiphon.core.errors import OperatorError
from antiphon.store import schema, secret
from antiphon.store.db import Database
from antiphon.store.tables import metadata


async def faults_of(database: Database) -> list[str]:
    """What is wrong with `database`, in sentences; [] for one that is whole."""
    async with database.read() as connection:
        version = await schema.version_of(connection)
        if version is None or version < schema.HEAD:
            return [f"Its tables are of version {version or 'none'}, not {schema.HEAD}: run `antiphon db upgrade`."]
        faults = [
            f"Its tables differ from version {schema.HEAD}: {change}."
            for change in await connection.run_sync(_differences)
        ]
        if database.is_sqlite:
            for pragma in ("integrity_check", "foreign_key_check"):
                rows = (await connection.execute(text(f"PRAGMA {pragma}"))).all()
                faults += [f"SQLite's {pragma} says: {row}." for row in rows if tuple(row) != ("ok",)]
    return faults


def _differences(connection: Connection) -> list[str]:
    context = MigrationContext.configure(connection, opts={"include_object": _is_ours})
    return [str(change) for change in compare_metadata(context, metadata)]


def _is_ours(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
    return not reflected or other is not None  # what a newer release has added is no fault


def back_up(database: Database, data_dir: Path, folder: Path, blobs: Path) -> list[Path]:
    """Copy the database, the secret and the blobs into the new `folder`, while the server runs; what was written.

    Blobs come last: then none is missing that the database knows, but for what was deleted in between.
    """
    if not database.is_sqlite:
        raise OperatorError(
            "PostgreSQL is backed up with its own pg_dump; copy secret.key and the folder of files beside it."
        )
    source = Path(database.url.database or "")
    try:
        folder.mkdir(mode=0o700, parents=True)
        files = [_private(folder / source.name)]
        with closing(sqlite3.connect(source)) as original, closing(sqlite3.connect(files[0])) as copy:
            original.backup(copy)
        if (key := data_dir / secret.FILE).exists():
            files.append(_private(folder / key.name))
            files[1].write_bytes(key.read_bytes())
        if blobs.exists():
            files.append(_copy_blobs(blobs, folder / "files"))
    except (OSError, sqlite3.Error) as error:
        raise OperatorError(f"Cannot write to {folder} ({error}): name a new folder on a disk with room.") from error
    return files


def _copy_blobs(blobs: Path, copy: Path) -> Path:
    """They never change, so on one disk a second name does."""
    copy.mkdir(mode=0o700)
    for path in blobs.glob("[0-9a-f][0-9a-f]/*"):
        target = copy / path.parent.name / path.name
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with suppress(FileNotFoundError):  # it was deleted in this moment
            _link_or_copy(path, target)
    return copy


def _link_or_copy(path: Path, target: Path) -> None:
    try:
        target.hardlink_to(path)
    except FileNotFoundError:
        raise
    except OSError:  # another disk
        shutil.copyfile(path, target)
        target.chmod(0o600)


def _private(path: Path) -> Path:
    path.touch(mode=0o600, exist_ok=False)
    return path
