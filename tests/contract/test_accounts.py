"""Accounts on both databases."""

import asyncio
import contextlib
from typing import Any

import pytest
from sqlalchemy import delete, event, exc, select, update

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError, overloaded
from antiphon.core.scope import Scope
from antiphon.core.secrets import digest, new_key
from antiphon.store import tables
from antiphon.store.accounts import OPERATOR, Accounts, Actor, NewKey, add_key, add_organization, add_workspace
from antiphon.store.directory import MAX_AGE_S, Directory
from antiphon.store.first import OperatorKeys, open_store
from tests.fixtures.databases import BACKENDS, SECRET, Books, books

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


async def made_key(own: Books, **fields: object) -> str:
    key = new_key("api")
    new = NewKey("api", "Test", digest(SECRET.pepper, key), "...", **fields)  # type: ignore[arg-type]
    async with own.accounts.change(own.scope, OPERATOR) as change:
        await add_key(change.connection, own.scope, new, change.now)
    return key


async def test_the_first_keys_work_and_are_not_stored(backend: str):
    async with books(backend) as own:
        assert own.first.api
        holder = await own.directory.find(own.first.api)
        assert holder
        assert (holder.kind, holder.scope) == ("api", own.scope)
        assert await own.directory.find(own.first.api + "x") is None
        async with own.database.read() as connection:
            rows = (await connection.execute(select(tables.api_keys))).all()
    assert own.first.api not in str(rows)


async def test_a_change_is_seen_by_the_process_that_made_it_at_once(backend: str):
    async with books(backend, ManualClock()) as own:
        key = await made_key(own)
        assert own.directory.holder_of(key)


async def test_a_revoked_key_stops_within_a_second_in_every_process(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        key = await made_key(own)
        other = Directory(own.database, SECRET.pepper, clock)
        assert await other.find(key)
        async with own.accounts.change(own.scope, OPERATOR) as change:
            revoke = update(tables.api_keys).where(tables.api_keys.c.digest == digest(SECRET.pepper, key))
            await change.connection.execute(revoke.values(status="archived"))
        assert await own.directory.find(key) is None
        assert await other.find(key)  # known for less than a second
        clock.advance(MAX_AGE_S)
        assert await other.find(key) is None


async def test_a_key_made_elsewhere_works_soon(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        other = Directory(own.database, SECRET.pepper, clock)
        await other.refresh()
        key = await made_key(own)
        clock.advance(0.1)
        assert await other.find(key)


async def test_wrong_keys_do_not_wear_the_database_out(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        looked = own.directory._seen_at
        for _ in range(100):
            assert await own.directory.find("wrong") is None
        assert own.directory._seen_at == looked


async def test_the_directory_follows_by_itself(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        other = Directory(own.database, SECRET.pepper, clock)
        await other.refresh()
        assert other.check_fresh()  # it follows whoever asks
        following = asyncio.get_running_loop().create_task(other.follow())
        key = await made_key(own)
        for _ in range(100):
            clock.advance(0.1)
            await asyncio.sleep(0.005)
            if other.holder_of(key):
                break
        following.cancel()
        assert other.holder_of(key)


async def test_a_directory_that_nobody_asks_leaves_the_database_alone(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        looked = own.directory._seen_at
        following = asyncio.get_running_loop().create_task(own.directory.follow())
        for _ in range(100):
            clock.advance(1)
            await asyncio.sleep(0.001)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert own.directory._seen_at == looked


async def test_a_directory_is_kept_fresh_for_five_seconds_after_a_call(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        following = asyncio.get_running_loop().create_task(own.directory.follow())
        await asyncio.sleep(0)
        own.directory.check_fresh()
        asked = clock.monotonic()
        for _ in range(100):
            clock.advance(0.1)
            await asyncio.sleep(0.001)
            async with own.directory._asking:
                pass  # the clock stands while it asks
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert 4 < own.directory._seen_at - asked < 6


async def test_a_key_of_the_environment_is_good_only_where_it_is_set(backend: str):
    async with books(backend) as own:
        key = await made_key(own, source="environment")
        there = Directory(own.database, SECRET.pepper, ManualClock(), [digest(SECRET.pepper, key)])
        assert await there.find(key)
        assert await own.directory.find(key) is None


async def test_keys_of_an_archived_workspace_do_not_work(backend: str):
    async with books(backend) as own:
        key = await made_key(own)
        async with own.accounts.change(own.scope, OPERATOR) as change:
            await change.connection.execute(update(tables.workspaces).values(archived_at=1.0))
        assert own.directory.holder_of(key) is None


async def test_the_home_is_the_first_organizations(backend: str):
    async with books(backend) as own:
        second = Scope("org_second", "wrkspc_second")
        async with own.accounts.change(own.scope, OPERATOR) as change:
            await add_organization(change.connection, second, "Second", change.now + 1)
            await add_workspace(change.connection, Scope(own.scope.organization_id, "wrkspc_b"), "B", change.now)
        assert own.directory.home == own.scope


async def test_what_fails_half_way_leaves_nothing(backend: str):
    async with books(backend) as own:
        number = own.directory.now.number
        with contextlib.suppress(ZeroDivisionError):
            async with own.accounts.change(own.scope, OPERATOR) as change:
                await change.note("test.failed", "nothing")
                raise ZeroDivisionError
        await own.directory.refresh()
        assert own.directory.now.number == number
        async with own.database.read() as connection:
            assert "test.failed" not in (await connection.execute(select(tables.audit.c.action))).scalars().all()


async def test_the_audit_cannot_be_changed(backend: str):
    async with books(backend) as own:
        async with own.accounts.change(own.scope, Actor("apikey_a", "10.0.0.1")) as change:
            await change.note("api_key.created", "apikey_b", name="B")
        for statement in (delete(tables.audit), update(tables.audit).values(actor="nobody")):
            with pytest.raises(exc.DBAPIError, match="append-only"):
                async with own.database.write() as connection:
                    await connection.execute(statement)
        async with own.database.read() as connection:
            (row,) = (await connection.execute(select(tables.audit).where(tables.audit.c.target == "apikey_b"))).all()
    assert (row.actor, row.address, row.action, row.target, row.details) == (
        "apikey_a",
        "10.0.0.1",
        "api_key.created",
        "apikey_b",
        '{"name": "B"}',
    )


async def test_many_writers_lose_nothing(backend: str):
    async with books(backend) as own:
        number = own.directory.now.number
        others = [Accounts(own.database, own.directory, ManualClock()) for _ in range(4)]

        async def change(accounts: Accounts, name: str) -> None:
            async with accounts.change(own.scope, OPERATOR) as change:
                await change.note("test", name)

        await asyncio.gather(*[change(others[n % 4], str(n)) for n in range(40)])
        assert own.directory.now.number == number + 40


async def test_a_database_that_is_away_is_an_overloaded_server(backend: str, caplog: pytest.LogCaptureFixture):
    async with books(backend) as own:
        own.database.url = own.database.url.set(password="hidden")
        with pytest.raises(ApiError) as raised:
            async with own.database.read():
                raise OSError("gone")
    assert raised.value.kind.status == 529
    assert "gone" in caplog.text
    assert "hidden" not in caplog.text


async def test_a_read_only_database_is_an_overloaded_server(backend: str, caplog: pytest.LogCaptureFixture):
    async with books(backend) as own:
        async with own.database.write() as connection:
            if backend == "postgresql":
                name = own.database.url.database
                await connection.exec_driver_sql(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await own.database.aclose()  # connections from now on are told
        if backend == "sqlite":
            event.listen(own.database._engine, "connect", _make_read_only)
        with pytest.raises(ApiError) as raised:
            async with own.accounts.change(own.scope, OPERATOR) as change:
                await change.note("test", "nothing")
        assert raised.value.kind.status == 529
        assert ("right to write it" if backend == "sqlite" else "it is read-only") in caplog.text
        await own.directory.refresh()


def _make_read_only(connection: Any, _: object) -> None:
    connection.execute("PRAGMA query_only=ON")


async def test_what_is_committed_counts_though_nobody_can_look_afterwards(backend: str):
    async with books(backend) as own:

        async def fail() -> None:
            raise overloaded()

        own.directory.refresh = fail  # type: ignore[method-assign]
        key = await made_key(own)
        other = Directory(own.database, SECRET.pepper, ManualClock())
        assert await other.find(key)


async def test_the_first_start_is_in_the_audit_with_whoever_may_come_in(backend: str):
    async with books(backend) as own:
        await open_store(own.database, SECRET, None, OperatorKeys(api="own-api"), ManualClock())
        async with own.database.read() as connection:
            rows = (await connection.execute(select(tables.audit).order_by(tables.audit.c.id))).all()
            keys = (await connection.execute(select(tables.api_keys.c.id))).scalars().all()
    assert [row.action for row in rows] == ["organization.created", "workspace.created", *["api_key.created"] * 3]
    assert {row.target for row in rows} == {own.scope.organization_id, own.scope.workspace_id, *keys}
    assert {(row.actor, row.organization_id) for row in rows} == {("operator", own.scope.organization_id)}
    assert "own-api" not in str(rows)
