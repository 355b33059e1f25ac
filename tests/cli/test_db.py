"""`antiphon db`, beside a server that runs."""

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy.engine import make_url
from typer.testing import CliRunner

from antiphon.cli.main import app
from antiphon.store.schema import HEAD
from tests.cli.commands import run
from tests.fixtures.databases import new_postgres_url
from tests.fixtures.serving import serving
from tests.fixtures.world import API_KEY


def test_a_backup_of_a_running_server_serves_the_same_keys(tmp_path: Path):
    (tmp_path / "data").mkdir(mode=0o700)
    with serving(tmp_path / "data", "--fake") as served:
        uploaded = served.sdk().files.upload(file=("a.txt", b"The grass is green."))
        told = run("db", "backup", str(tmp_path / "copy"), "--json", folder=tmp_path / "data")
    files = [Path(path) for path in json.loads(told.stdout)["files"]]
    assert [path.name for path in files] == ["antiphon.db", "secret.key", "files"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600, 0o700]
    assert run("db", "check", folder=tmp_path / "copy").stdout == "The database is whole.\n"
    with serving(tmp_path / "copy", "--fake", keys=False, ANTIPHON_API_KEY=API_KEY) as served:
        assert "shown this once" not in served.printed
        (file,) = served.sdk().files.list().data
        assert file == uploaded


def test_a_database_with_a_fault_is_told(tmp_path: Path):
    assert run("db", "upgrade", "--json", folder=tmp_path).stdout == '{"before": null, "version": "' + HEAD + '"}\n'
    with closing(sqlite3.connect(tmp_path / "antiphon.db")) as connection:
        connection.execute("DROP TABLE invites")
        connection.commit()
    told = run("db", "check", folder=tmp_path, fails=True)
    assert "invites" in told.stdout
    assert told.stderr == "antiphon: The database is not whole: restore a backup, or upgrade it if it is too old.\n"


def test_mistakes_are_one_sentence(tmp_path: Path):
    (tmp_path / "there").mkdir()
    empty = run("db", "backup", str(tmp_path / "copy"), folder=tmp_path / "new", fails=True)
    assert empty.stderr == f"antiphon: There is nothing in {tmp_path / 'new'} yet: start `antiphon serve` first.\n"
    run("db", "upgrade", folder=tmp_path)
    taken = run("db", "backup", str(tmp_path / "there"), folder=tmp_path, fails=True)
    assert taken.stderr.startswith(f"antiphon: Cannot write to {tmp_path / 'there'}")
    assert taken.stderr.count("\n") == 1


@pytest.mark.parametrize("command", [["keys", "list"], ["usage"], ["audit"], ["limits", "show"], ["db", "check"]])
def test_a_folder_that_is_not_there_is_not_made(command: list[str], tmp_path: Path):
    folder = tmp_path / "mistyped"
    told = CliRunner().invoke(app, [*command, "--data-dir", str(folder)])
    assert (told.exit_code, told.stderr) == (
        1,
        f"antiphon: There is nothing in {folder} yet: start `antiphon serve` first.\n",
    )
    assert not folder.exists()


@pytest.mark.parametrize("command", [["keys", "list"], ["usage"], ["audit"], ["limits", "show"], ["members", "list"]])
def test_a_command_that_reads_waits_for_nobody_who_writes(command: list[str], data_dir: Path):
    with closing(sqlite3.connect(data_dir / "antiphon.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        told = CliRunner().invoke(app, [*command, "--data-dir", str(data_dir)])
    assert told.exit_code == 0, told.stderr


def _set_version(data_dir: Path, version: str) -> None:
    with closing(sqlite3.connect(data_dir / "antiphon.db")) as connection:
        connection.execute("UPDATE alembic_version SET version_num = ?", [version])
        connection.commit()


def test_a_command_that_reads_migrates_nothing(data_dir: Path):
    _set_version(data_dir, "0002")
    told = CliRunner().invoke(app, ["keys", "list", "--data-dir", str(data_dir)])
    assert told.exit_code == 1
    assert "The tables are of version 0002" in told.stderr
    assert "`antiphon db upgrade`" in told.stderr


def test_tables_of_a_newer_release_are_told_as_what_they_are(data_dir: Path):
    _set_version(data_dir, "9999")
    told = CliRunner().invoke(app, ["db", "upgrade", "--json", "--data-dir", str(data_dir)])
    assert json.loads(told.stdout) == {"before": "9999", "version": "9999"}


@pytest.mark.parametrize("command", [["keys", "list"], ["db", "check"], ["db", "upgrade"]])
@pytest.mark.parametrize("wrong", [{"database": "nowhere"}, {"username": "nobody_x"}])
def test_a_database_that_lets_nobody_in_is_one_sentence(command: list[str], wrong: dict[str, str], data_dir: Path):
    url = make_url(new_postgres_url()).set(**wrong).render_as_string(hide_password=False)  # type: ignore[arg-type]
    told = CliRunner().invoke(app, [*command, "--data-dir", str(data_dir)], env={"ANTIPHON_DATABASE_URL": url})
    assert told.exit_code == 1
    assert told.stderr.splitlines()[-1] == "antiphon: The database cannot be used: the error above says why."
    assert "Traceback" not in told.stderr
