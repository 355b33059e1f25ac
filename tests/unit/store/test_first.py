"""The first start, and what later ones find."""

import json
import stat
from pathlib import Path

import pytest
from sqlalchemy import select

from antiphon.app import App, create_app
from antiphon.core.errors import OperatorError, overloaded
from antiphon.core.secrets import digest, new_key
from antiphon.ledger.keeper import Keeper
from antiphon.settings import Settings
from antiphon.store import tables
from antiphon.store.db import Database, url_of
from antiphon.store.directory import Directory
from antiphon.store.first import FirstKeys
from antiphon.store.secret import open_secret
from tests.fixtures.databases import new_postgres_url


async def opened(folder: Path, **settings: object) -> tuple[App, FirstKeys | None]:
    app = create_app(Settings(data_dir=folder, engine="fake:", **settings))  # type: ignore[arg-type]
    return app, await app.open()


async def test_keys_are_made_once(tmp_path: Path):
    app, first = await opened(tmp_path)
    assert first
    assert first.api
    assert first.admin
    await app.aclose()
    app, nothing = await opened(tmp_path)
    assert nothing is None
    api, admin = await app.directory.find(first.api), await app.directory.find(first.admin)
    assert api
    assert admin
    assert (api.kind, admin.kind) == ("api", "admin")
    await app.aclose()


async def test_the_folder_and_what_is_secret_in_it_are_the_owners_alone(tmp_path: Path):
    app, _ = await opened(tmp_path / "data")
    await app.aclose()
    paths = [tmp_path / "data", tmp_path / "data" / "secret.key", tmp_path / "data" / "antiphon.db"]
    assert [stat.S_IMODE(path.stat().st_mode) for path in paths] == [0o700, 0o600, 0o600]


async def test_the_operators_keys_work_while_they_are_set(tmp_path: Path):
    app, first = await opened(tmp_path, api_key="own-api", admin_key="own-admin")
    assert first == FirstKeys(None, None)
    assert await app.directory.find("own-api")
    await app.aclose()
    app, _ = await opened(tmp_path, api_key="another", admin_key="own-admin")
    assert await app.directory.find("another")
    assert await app.directory.find("own-api") is None
    await app.aclose()
    app, _ = await opened(tmp_path, api_key="own-api")
    holder = await app.directory.find("own-api")
    async with app.database.read() as connection:
        rows = (await connection.execute(select(tables.api_keys))).all()
    await app.aclose()
    assert holder
    assert len(rows) == 3  # the same key has the same row each time


async def test_the_file_of_the_first_release_is_taken_over(tmp_path: Path):
    pepper, api, admin = b"p" * 32, new_key("api"), new_key("admin")
    keys = [{"id": "k", "kind": kind, "digest": digest(pepper, key)} for kind, key in (("api", api), ("admin", admin))]
    data = {"organization_id": "org_old", "workspace_id": "wrkspc_old", "pepper": pepper.hex(), "keys": keys}
    (tmp_path / "credentials.json").write_text(json.dumps(data))
    app, first = await opened(tmp_path)
    assert first is None
    holder = await app.directory.find(api)
    assert holder
    assert (holder.scope.organization_id, holder.scope.workspace_id, holder.kind) == ("org_old", "wrkspc_old", "api")
    assert await app.directory.find(admin)
    await app.aclose()


async def test_another_secret_is_the_operators_mistake(tmp_path: Path):
    app, _ = await opened(tmp_path)
    await app.aclose()
    app = create_app(Settings(data_dir=tmp_path, engine="fake:", secret_key="another"))  # type: ignore[arg-type]
    with pytest.raises(OperatorError, match=r"belongs to another secret: copy its first server's secret\.key"):
        await app.open()
    await app.aclose()


@pytest.mark.parametrize("name", ["secret.key", "credentials.json"])
def test_a_damaged_file_is_told(tmp_path: Path, name: str):
    (tmp_path / name).write_text("no hex, no JSON")
    with pytest.raises(OperatorError, match=f"{name} is damaged"):
        open_secret(tmp_path, None)


@pytest.mark.parametrize("text", ["", "00" * 31, "00" * 33])
def test_a_secret_of_any_other_length_is_none(tmp_path: Path, text: str):
    (tmp_path / "secret.key").write_text(text)
    with pytest.raises(OperatorError, match=r"secret\.key is damaged"):
        open_secret(tmp_path, None)


async def test_no_key_is_made_where_the_journal_cannot_be(tmp_path: Path):
    (tmp_path / "journal").write_text("")
    app = create_app(Settings(data_dir=tmp_path, engine="fake:"))  # type: ignore[arg-type]
    with pytest.raises(OperatorError, match="Cannot use the journal"):
        await app.open()
    await app.aclose()
    (tmp_path / "journal").unlink()
    app, first = await opened(tmp_path)
    await app.aclose()
    assert first


async def test_the_first_keys_are_shown_even_if_the_database_then_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async def fail(self: object) -> None:
        raise overloaded()

    monkeypatch.setattr(Directory, "refresh", fail)
    app, first = await opened(tmp_path)
    monkeypatch.setattr(Keeper, "spent", lambda *_: fail(app))
    with pytest.raises(OperatorError, match="What has been spent cannot be read"):
        await app.start()
    await app.aclose()
    assert first
    assert first.admin


async def test_a_read_only_database_at_the_start_is_the_operators_mistake(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    url = new_postgres_url()
    database = Database(url_of(tmp_path, url))
    async with database.write() as connection:
        name = database.url.database
        await connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    await database.aclose()
    app = create_app(Settings(data_dir=tmp_path, engine="fake:", database_url=url))  # type: ignore[arg-type]
    with pytest.raises(OperatorError, match="database cannot be used"):
        await app.open()
    await app.aclose()
    assert "it is read-only" in caplog.text


def test_a_folder_that_cannot_be_used_is_the_operators_mistake(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OperatorError, match=r"Cannot use .*secret\.key"):
        open_secret(tmp_path / "file" / "data", None)


async def test_a_database_that_cannot_be_opened_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    (tmp_path / "antiphon.db").mkdir()
    app = create_app(Settings(data_dir=tmp_path, engine="fake:"))  # type: ignore[arg-type]
    with pytest.raises(OperatorError, match="database cannot be used"):
        await app.open()
    await app.aclose()
    assert "unable to open" in caplog.text
    with pytest.raises(OperatorError, match="database_url must look like"):
        create_app(Settings(data_dir=tmp_path, engine="fake:", database_url="mysql://x"))  # type: ignore[arg-type]
