"""The ledger on both databases: each message once, whatever happens on the way."""

import asyncio
import contextlib
import errno
import os
import shutil
import sqlite3
from collections.abc import AsyncGenerator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, func, select

from antiphon.core.clock import Clock, ManualClock
from antiphon.core.errors import ApiError, OperatorError, overloaded
from antiphon.core.scope import Member, Principal, Scope
from antiphon.ledger import keeper as keeping
from antiphon.ledger.keeper import LINGER_S, NUM_TOGETHER, Keeper
from antiphon.ledger.meter import NOTE_STEP, Meter
from antiphon.ledger.price import Prices
from antiphon.ledger.store import COUNTS, sums_of
from antiphon.settings import Price
from antiphon.store import tables
from antiphon.store.db import Database
from antiphon.wire.events import Usage
from tests.fixtures.databases import BACKENDS, Books, books

pytestmark = pytest.mark.parametrize("backend", BACKENDS)

PRICES = Prices({"*": Price(input=Decimal(1), output=Decimal(2))})
USED = Usage(10, 5)
COST = 10 * 1_000 + 5 * 2_000
NEW_YEAR = 1_798_761_600.0
"""2027-01-01T00:00:00Z."""


@contextlib.asynccontextmanager
async def ledger(own: Books, folder: Path, clock: Clock | None = None) -> AsyncGenerator[Keeper, None]:
    """A keeper that is closed in the end."""
    keeper = Keeper(own.database, folder, PRICES, clock or ManualClock())
    await keeper.open()
    yield keeper
    await keeper.aclose()


def abandon(keeper: Keeper) -> None:
    """What the death of its process does to it."""
    keeper._journal.close(is_needed=True)


def meter(own: Books, keeper: Keeper, message_id: str, **fields: Any) -> Meter:
    return Meter.start(keeper, message_id, Principal("apikey_1", own.scope), "echo", 10, **fields)


async def rows(own: Books) -> list[Any]:
    async with own.database.read() as connection:
        return list((await connection.execute(select(tables.usage).order_by(tables.usage.c.message_id))).all())


async def endings(own: Books) -> dict[str, str]:
    return {row.message_id: row.ending for row in await rows(own)}


async def check_hours(own: Books) -> None:
    """The sums of the hours are the sums of the rows."""
    names = [*COUNTS, "num_requests"]
    async with own.database.read() as connection:
        hours, usage = tables.usage_hours, tables.usage
        of_hours = (await connection.execute(select(*[func.sum(hours.c[name]) for name in names]))).one()
        of_rows = select(*[func.sum(usage.c[name]) for name in COUNTS], func.count())
        assert tuple(of_hours) == tuple((await connection.execute(of_rows)).one())


def files(folder: Path) -> list[Path]:
    return [path for path in folder.glob("**/*") if path.is_file()]


async def test_a_call_is_one_row_with_all_that_is_known(backend: str, tmp_path: Path):
    clock = ManualClock(NEW_YEAR + 30)
    async with books(backend) as own, ledger(own, tmp_path, clock) as keeper:
        caller = Principal("apikey_1", own.scope, member=Member("user_1", "developer", None))
        call = Meter.start(keeper, "msg_1", caller, "echo", 99, service_tier="batch", client="claude_code")
        clock.advance(0.25)
        call.note(1)
        clock.advance(59.75)
        cost = call.end(Usage(1, 2, 3, 4, 5, 1), "done", 6)
        await keeper.flush()
        (row,) = await rows(own)
    found = row._asdict()
    assert cost == sum(found.pop(name) for name in COUNTS if name.endswith("_cost")) > 0
    assert found == {
        "message_id": "msg_1",
        "organization_id": own.scope.organization_id,
        "workspace_id": own.scope.workspace_id,
        "key_id": "apikey_1",
        "user_id": "user_1",
        "model": "echo",
        "service_tier": "batch",
        "context_window": "0-200k",
        "client": "claude_code",
        "started_at": NEW_YEAR + 30,
        "latency_ms": 60_000,
        "first_token_ms": 250,
        "minute": NEW_YEAR // 60 + 1,
        "ending": "done",
        "input_tokens": 1,
        "cache_write_5m_tokens": 3,
        "cache_write_1h_tokens": 4,
        "cache_read_tokens": 5,
        "output_tokens": 2,
        "thinking_tokens": 1,
        "web_searches": 6,
    }


async def test_only_the_first_end_counts(backend: str, tmp_path: Path):
    async with books(backend) as own, ledger(own, tmp_path) as keeper:
        call = meter(own, keeper, "msg_1")
        assert call.end(USED, "done") == COST
        assert call.end(Usage(99, 99), "left") == 0
        await keeper.flush()
        assert await endings(own) == {"msg_1": "done"}
        await check_hours(own)


async def test_calls_reach_the_database_by_themselves(backend: str, tmp_path: Path):
    clock = ManualClock()
    async with books(backend) as own, ledger(own, tmp_path, clock) as keeper:
        running = asyncio.get_running_loop().create_task(keeper.run())
        meter(own, keeper, "msg_1").end(USED, "done")
        await asyncio.sleep(0.05)
        assert await rows(own) == []
        clock.advance(LINGER_S)
        await until(lambda: not keeper._waiting)
        for number in range(NUM_TOGETHER):
            meter(own, keeper, f"msg_many_{number}").end(USED, "done")
        await until(lambda: not keeper._waiting)  # so many wait for nothing
        running.cancel()
        assert len(await rows(own)) == 1 + NUM_TOGETHER
        await check_hours(own)


async def until(claim: Any) -> None:
    for _ in range(500):
        if claim():
            return
        await asyncio.sleep(0.01)
    raise AssertionError


async def test_a_clean_end_leaves_no_journal(backend: str, tmp_path: Path):
    async with books(backend) as own:
        async with ledger(own, tmp_path) as keeper:
            meter(own, keeper, "msg_1").end(USED, "done")
        assert list(tmp_path.iterdir()) == []
        assert len(await rows(own)) == 1


async def test_a_journal_is_replayed_once_and_a_second_time_in_vain(backend: str, tmp_path: Path):
    async with books(backend) as own:
        keeper = Keeper(own.database, tmp_path / "a", PRICES, ManualClock())
        await keeper.open()
        for number in range(300):
            meter(own, keeper, f"msg_{number}").end(USED, "done")
        abandon(keeper)
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        for folder in ("a", "b"):
            async with ledger(own, tmp_path / folder):
                assert len(await rows(own)) == 300
                await check_hours(own)
        assert files(tmp_path) == []


async def test_a_call_that_never_ended_is_cut(backend: str, tmp_path: Path):
    clock = ManualClock()
    async with books(backend) as own:
        keeper = Keeper(own.database, tmp_path, PRICES, clock)
        await keeper.open()
        meter(own, keeper, "msg_begun")
        call = meter(own, keeper, "msg_on_its_way")
        clock.advance(2)
        for num_output in (1, NOTE_STEP - 1, NOTE_STEP, NOTE_STEP + 1):
            call.note(num_output)
        meter(own, keeper, "msg_ended").end(USED, "done")
        abandon(keeper)
        async with ledger(own, tmp_path, clock):
            assert await endings(own) == {"msg_begun": "cut", "msg_ended": "done", "msg_on_its_way": "cut"}
        begun, _, on_its_way = await rows(own)
        assert (begun.input_tokens, begun.output_tokens, begun.latency_ms) == (10, 0, 0)
        assert (on_its_way.input_tokens, on_its_way.output_tokens, on_its_way.latency_ms) == (10, NOTE_STEP, 2_000)
        assert on_its_way.output_cost == NOTE_STEP * 2_000
        await check_hours(own)


async def test_a_call_outlives_the_piece_that_it_began_in(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeping, "_RENEW_BYTES", 1)
    async with books(backend) as own:
        keeper = Keeper(own.database, tmp_path, PRICES, ManualClock())
        await keeper.open()
        long_one, other = meter(own, keeper, "msg_long"), meter(own, keeper, "msg_other")
        for number in range(3):
            other.note(NOTE_STEP * (number + 1))
            meter(own, keeper, f"msg_{number}").end(USED, "done")
            await keeper.flush()
            assert len(files(tmp_path)) == 1
            meter(own, keeper, f"msg_waiting_{number}").end(USED, "done")
            keeper._renew()
        long_one.end(USED, "done")
        abandon(keeper)
        async with ledger(own, tmp_path):
            found = await endings(own)
        assert found.pop("msg_other") == "cut"
        assert found == dict.fromkeys(
            [f"msg_{n}" for n in range(3)] + [f"msg_waiting_{n}" for n in range(3)], "done"
        ) | {"msg_long": "done"}
        (cut,) = [row for row in await rows(own) if row.ending == "cut"]
        assert cut.output_tokens == 3 * NOTE_STEP
        await check_hours(own)


async def test_two_processes_share_a_folder_and_a_database(backend: str, tmp_path: Path):
    async with books(backend) as own:
        async with ledger(own, tmp_path) as first, ledger(own, tmp_path) as second:
            open_call = meter(own, first, "msg_open")
            for number in range(100):
                meter(own, first, f"msg_a{number}").end(USED, "done")
                meter(own, second, f"msg_b{number}").end(USED, "done")
            await asyncio.gather(first.flush(), second.flush())
            async with ledger(own, tmp_path):  # a third one starts, and leaves theirs alone
                assert len(await rows(own)) == 200
            open_call.end(USED, "left")
        assert len(await rows(own)) == 201
        assert (await endings(own))["msg_open"] == "left"
        await check_hours(own)


async def test_what_the_database_does_not_take_waits_in_the_journal(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(keeping, "_MAX_WAITING", 50)
    clock = ManualClock()
    async with books(backend) as own, ledger(own, tmp_path, clock) as keeper:
        away = Away(own.database)
        keeper._database = away  # type: ignore[assignment]
        running = asyncio.get_running_loop().create_task(keeper.run())
        open_call = meter(own, keeper, "msg_open")
        for number in range(400):
            meter(own, keeper, f"msg_{number}").end(USED, "done")
            if number % 20 == 19:
                num_asked = away.num_asked
                clock.advance(6)
                await until(lambda num_asked=num_asked: away.num_asked > num_asked)
        await until(lambda: len(keeper._waiting) < 50)
        assert len(keeper._sealed) >= 3
        away.is_away = False
        clock.advance(6)
        await until(lambda: not keeper._waiting)
        running.cancel()
        assert not keeper._sealed
        open_call.end(USED, "done")
        await keeper.flush()
        assert len(await rows(own)) == 401
        await check_hours(own)


class Away:
    """A database that cannot be written for a while."""

    def __init__(self, database: Database) -> None:
        self.is_away = True
        self.num_asked = 0
        self.read = database.read
        self._database = database

    def write(self) -> Any:
        self.num_asked += 1
        if self.is_away:
            raise overloaded()
        return self._database.write()


async def test_an_end_without_a_database_is_for_the_next_start(backend: str, tmp_path: Path):
    async with books(backend) as own:
        keeper = Keeper(own.database, tmp_path, PRICES, ManualClock())
        await keeper.open()
        meter(own, keeper, "msg_1").end(USED, "done")
        keeper._database = Away(own.database)  # type: ignore[assignment]
        await keeper.aclose()
        assert await rows(own) == []
        still_away = Keeper(Away(own.database), tmp_path, PRICES, ManualClock())  # type: ignore[arg-type]
        await still_away.open()
        await still_away.aclose()
        async with ledger(own, tmp_path):
            assert await endings(own) == {"msg_1": "done"}
        assert files(tmp_path) == []


async def test_a_database_that_another_process_has_locked_is_waited_for(backend: str, tmp_path: Path):
    async with books(backend) as own, ledger(own, tmp_path) as keeper:
        meter(own, keeper, "msg_1").end(USED, "done")
        async with locked(own):
            flushing = asyncio.get_running_loop().create_task(keeper.flush())
            await asyncio.sleep(0.2)
            assert not flushing.done()
            meter(own, keeper, "msg_2").end(USED, "done")  # calls do not notice
        await flushing
        await keeper.flush()
        assert len(await rows(own)) == 2


@contextlib.asynccontextmanager
async def locked(own: Books) -> AsyncGenerator[None, None]:
    if own.database.is_sqlite:
        path = own.database.url.database
        assert path
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")
    else:
        async with own.database.write() as other:
            await other.exec_driver_sql("LOCK TABLE usage IN ACCESS EXCLUSIVE MODE")
            yield


async def test_a_full_disk_refuses_calls_and_loses_none(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    async with books(backend) as own:
        keeper = Keeper(own.database, tmp_path, PRICES, ManualClock())
        await keeper.open()
        call, other = meter(own, keeper, "msg_1"), meter(own, keeper, "msg_2")
        monkeypatch.setattr(os, "write", full)
        with pytest.raises(ApiError) as refused:
            meter(own, keeper, "msg_refused")
        assert refused.value.kind.status == 529
        assert call.end(USED, "done") == COST
        assert keeper.num_unwritten == 1
        monkeypatch.undo()
        other.note(NOTE_STEP)
        keeper._database = Away(own.database)  # type: ignore[assignment]
        with pytest.raises(ApiError):
            await keeper.flush()  # it is written again, before anything else
        abandon(keeper)
        async with ledger(own, tmp_path):
            assert await endings(own) == {"msg_1": "done", "msg_2": "cut"}
        await check_hours(own)


async def test_an_end_that_found_no_room_may_reach_the_database_first(
    backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    async with books(backend) as own, ledger(own, tmp_path) as keeper:
        call, other = meter(own, keeper, "msg_1"), meter(own, keeper, "msg_2")
        with monkeypatch.context() as patch:
            patch.setattr(keeper._journal, "write", full)
            call.end(USED, "done")
            other.note(NOTE_STEP)  # nothing but its charge if the server died now
            await keeper.flush()
        assert not keeper._unwritten
        other.end(USED, "done")
    assert files(tmp_path) == []


def full(*_: Any) -> Any:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def test_a_row_that_the_database_refuses_holds_up_no_other(
    backend: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    async with books(backend) as own, ledger(own, tmp_path) as keeper:
        for message_id in ("msg_1", "msg_bad", "msg_2"):
            call = meter(own, keeper, message_id)
            if message_id == "msg_bad":
                call._start = call._start._replace(started_at=None)  # type: ignore[arg-type]
            call.end(USED, "done")
        await keeper.flush()
        assert await endings(own) == {"msg_1": "done", "msg_2": "done"}
        await check_hours(own)
    assert "refuses the call" in caplog.text
    assert "msg_bad" in caplog.text


async def test_a_database_that_is_broken_loses_no_row(backend: str, tmp_path: Path):
    async with books(backend) as own, ledger(own, tmp_path) as keeper:
        meter(own, keeper, "msg_1").end(USED, "done")
        async with own.database.write() as connection:
            await connection.exec_driver_sql("ALTER TABLE usage RENAME TO gone")
        with pytest.raises(ApiError):
            await keeper.flush()
        async with own.database.write() as connection:
            await connection.exec_driver_sql("ALTER TABLE gone RENAME TO usage")
        await keeper.flush()
        assert await endings(own) == {"msg_1": "done"}


async def test_a_clock_that_jumps_changes_the_hour_and_nothing_else(backend: str, tmp_path: Path):
    clock = ManualClock(NEW_YEAR + 10)
    async with books(backend) as own, ledger(own, tmp_path, clock) as keeper:
        calls = [meter(own, keeper, f"msg_{number}") for number in range(3)]
        for call, start in zip(calls, (NEW_YEAR - 3_600, NEW_YEAR, NEW_YEAR + 86_400), strict=True):
            clock._start = start
            call.end(USED, "done")
        await keeper.flush()
        found = await rows(own)
        assert [row.minute for row in found] == [NEW_YEAR // 60 - 60, NEW_YEAR // 60, NEW_YEAR // 60 + 1440]
        assert [row.latency_ms for row in found] == [0, 0, 0]
        await check_hours(own)


async def test_what_has_been_spent_in_a_month(backend: str, tmp_path: Path):
    clock = ManualClock(NEW_YEAR - 10)
    async with books(backend) as own, ledger(own, tmp_path, clock) as keeper:
        meter(own, keeper, "msg_last_year").end(USED, "done")
        over_midnight = meter(own, keeper, "msg_over_midnight")
        clock.advance(20)
        over_midnight.end(USED, "done")
        other = Principal("apikey_2", Scope(own.scope.organization_id, "wrkspc_2"))
        Meter.start(keeper, "msg_other", other, "echo", 10).end(USED, "left")
        assert await keeper.spent(clock.now()) == {
            own.scope.organization_id: 2 * COST,
            own.scope.workspace_id: COST,
            "apikey_1": COST,
            "wrkspc_2": COST,
            "apikey_2": COST,
        }
        assert (await keeper.spent(NEW_YEAR - 1))["apikey_1"] == COST
        assert await keeper.spent(NEW_YEAR + 86_400 * 31) == {}


async def test_what_is_spent_while_it_is_asked_for_counts(backend: str, tmp_path: Path):
    clock = ManualClock(NEW_YEAR)
    async with books(backend) as own, ledger(own, tmp_path, clock) as keeper:
        meter(own, keeper, "msg_1").end(USED, "done")
        asking = asyncio.get_running_loop().create_task(keeper.spent(clock.now()))
        num_ended = 1
        while not asking.done():
            num_ended += 1
            meter(own, keeper, f"msg_{num_ended}").end(USED, "done")
            await asyncio.sleep(0)
        assert num_ended > 5
        # the loop's last round may come before or behind the answer
        assert (await asking)["apikey_1"] in (num_ended * COST, (num_ended - 1) * COST)


async def test_sums_are_of_one_organization(backend: str, tmp_path: Path):
    async with books(backend) as own, ledger(own, tmp_path, ManualClock(NEW_YEAR)) as keeper:
        meter(own, keeper, "msg_1").end(USED, "done")
        Meter.start(keeper, "msg_2", Principal("apikey_2", Scope("org_2", "wrkspc_2")), "echo", 1).end(USED, "done")
        await keeper.flush()
        for width_s in (60, 3_600, 86_400):
            bucket = int(NEW_YEAR // width_s)
            async with own.database.read() as connection:
                (mine,) = await sums_of(connection, own.scope, width_s, bucket, bucket + 1, ["key_id", "model"])
                assert not await sums_of(connection, own.scope, width_s, bucket + 1, bucket + 2)
                assert not await sums_of(connection, own.scope, width_s, bucket, bucket + 1, (), {"model": []})
            assert (mine["bucket"], mine["key_id"], mine["num_requests"]) == (bucket, "apikey_1", 1)
            assert (mine["input_tokens"], mine["output_tokens"], mine["input_cost"]) == (10, 5, 10_000)


async def test_a_folder_that_cannot_be_used_is_told(backend: str, tmp_path: Path):
    async with books(backend) as own:
        (tmp_path / "file").write_text("")
        with pytest.raises(OperatorError, match="Cannot use the journal"):
            await Keeper(own.database, tmp_path / "file", PRICES, ManualClock()).open()
        await Keeper(own.database, tmp_path / "file", PRICES, ManualClock()).aclose()


async def test_a_call_costs_two_writes_and_no_query(backend: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Nothing of it awaits: `start`, `note` and `end` are plain functions."""
    async with books(backend) as own, ledger(own, tmp_path) as keeper:
        num_writes, write = 0, os.write

        def counted(file: int, data: bytes) -> int:
            nonlocal num_writes
            num_writes += 1
            return write(file, data)

        database, keeper._database = keeper._database, None  # type: ignore[assignment]
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", counted)
            call = meter(own, keeper, "msg_1")
            for num_output in range(NOTE_STEP):
                call.note(num_output)
            call.end(USED, "done")
        assert num_writes == 2
        keeper._database = database


async def test_usage_has_no_row_without_its_hour(backend: str, tmp_path: Path):
    """Both are written in one transaction: where the hours fail, no row stays."""
    async with books(backend) as own, ledger(own, tmp_path) as keeper:
        meter(own, keeper, "msg_1").end(USED, "done")
        async with own.database.write() as connection:
            await connection.exec_driver_sql("ALTER TABLE usage_hours RENAME TO gone")
        with pytest.raises(ApiError):
            await keeper.flush()
        assert await rows(own) == []
        async with own.database.write() as connection:
            await connection.exec_driver_sql("ALTER TABLE gone RENAME TO usage_hours")
            await connection.execute(delete(tables.usage_hours))
        await keeper.flush()
        await check_hours(own)
