"""`antiphon db`, beside a server that runs."""

import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

from tests.cli.commands import run
from tests.fixtures.serving import serving
from tests.fixtures.world import API_KEY


def test_a_backup_of_a_running_server_serves_the_same_keys(tmp_path: Path):
    (tmp_path / "data").mkdir(mode=0o700)
    with serving(tmp_path / "data", "--fake") as served:
        assert served.sdk().models.list().data
        told = run("db", "backup", str(tmp_path / "copy"), "--json", folder=tmp_path / "data")
    files = [Path(path) for path in json.loads(told.stdout)["files"]]
    assert [path.name for path in files] == ["antiphon.db", "secret.key"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in files] == [0o600, 0o600]
    assert run("db", "check", folder=tmp_path / "copy").stdout == "The database is whole.\n"
    with serving(tmp_path / "copy", "--fake", keys=False, ANTIPHON_API_KEY=API_KEY) as served:
        assert "shown this once" not in served.printed
        assert served.sdk().models.list().data


def test_a_database_with_a_fault_is_told(tmp_path: Path):
    assert run("db", "upgrade", "--json", folder=tmp_path).stdout == '{"before": null, "version": "0002"}\n'
    with closing(sqlite3.connect(tmp_path / "antiphon.db")) as connection:
        connection.execute("DROP TABLE invites")
        connection.commit()
    told = run("db", "check", folder=tmp_path, fails=True)
    assert "invites" in told.stdout
    assert told.stderr == "antiphon: The database is not whole: restore a backup, or upgrade it if it is too old.\n"


def test_mistakes_are_one_sentence(tmp_path: Path):
    (tmp_path / "there").mkdir()
    empty = run("db", "backup", str(tmp_path / "copy"), folder=tmp_path / "new", fails=True)
    assert empty.stderr == f"antiphon: There is nothing in {tmp_path / 'new'} yet: start the server first.\n"
    run("db", "upgrade", folder=tmp_path)
    taken = run("db", "backup", str(tmp_path / "there"), folder=tmp_path, fails=True)
    assert taken.stderr.startswith(f"antiphon: Cannot write to {tmp_path / 'there'}")
    assert taken.stderr.count("\n") == 1
