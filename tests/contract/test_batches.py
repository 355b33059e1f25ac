"""What workers ask of the database, on SQLite and on PostgreSQL: nothing is done twice, and nothing is forgotten."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.scope import Principal
from antiphon.features.batches import queue, store
from antiphon.features.batches.queue import Held, Outcome
from antiphon.features.batches.service import Author, Batches
from antiphon.ledger.keeper import Keeper
from antiphon.ledger.price import Prices
from antiphon.wire.versions import Version
from antiphon.worker.writer import Done, Writer
from tests.fixtures.batches import ended, results_of
from tests.fixtures.databases import BACKENDS, Books, books, new_postgres_url
from tests.fixtures.world import World, ask

NOW = 1_800_000_000.0


async def body(*ids: str) -> AsyncIterator[bytes]:
    yield json.dumps({"requests": [{"custom_id": name, "params": ask()} for name in ids]}).encode()


async def make(own: Books, *ids: str) -> str:
    author = Author(Principal("apikey_01its", own.scope), Version.V2026_10_21)
    return (await Batches(own.database, ManualClock(NOW), lambda: None).create(author, body(*ids))).id


async def claim(own: Books, batch_id: str, lease: str, limit: int = 10, now: float = NOW) -> list[Held]:
    async with own.database.write() as connection:
        rows = await queue.claim(connection, batch_id, lease, limit, now, now + 12)
    return [Held(row.batch_id, row.place, row.lease) for row in rows]


async def finish(own: Books, held: list[Held], kind: str = "succeeded", now: float = NOW) -> set[Held]:
    outcomes = [Outcome(one, f"i{int(one.place[-6:])}", kind, "x") for one in held]
    async with own.database.write() as connection:
        return await queue.finish(connection, outcomes, now)


async def counts(own: Books, batch_id: str) -> tuple[str, dict[str, int]]:
    async with own.database.read() as connection:
        row = await store.find_batch(connection, own.scope, batch_id)
    assert row
    return row.state, {name: getattr(row, f"num_{name}") for name in store.COUNTS if getattr(row, f"num_{name}")}


@pytest.mark.parametrize("backend", BACKENDS)
async def test_two_workers_never_claim_the_same_item(backend: str):
    async with books(backend) as own:
        batch_id = await make(own, *[f"i{n}" for n in range(200)])
        claims = await asyncio.gather(*[claim(own, batch_id, f"lease_{n}", 7) for n in range(40)])
    taken = Counter(held.place for block in claims for held in block)
    assert len(taken) == 200
    assert set(taken.values()) == {1}


@pytest.mark.parametrize("backend", BACKENDS)
async def test_who_has_lost_the_lease_writes_nothing(backend: str):
    async with books(backend) as own:
        batch_id = await make(own, "i0", "i1")
        old = await claim(own, batch_id, "lease_old")
        assert await claim(own, batch_id, "lease_new", now=NOW + 11.9) == []
        new = await claim(own, batch_id, "lease_new", now=NOW + 12)
        assert [held.place for held in new] == [held.place for held in old]
        assert await finish(own, old, "errored") == set()
        assert await counts(own, batch_id) == ("in_progress", {})
        assert await finish(own, new) == set(new)
        assert await counts(own, batch_id) == ("ended", {"succeeded": 2})
        assert await finish(own, new) == set()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_result_that_the_database_refuses_is_an_error_and_holds_up_no_other(backend: str, tmp_path: Path):
    clock = ManualClock(NOW)
    async with books(backend) as own:
        batch_id = await make(own, "good", "bad")
        held: dict[str, Held] = dict(zip(("good", "bad"), await claim(own, batch_id, "lease"), strict=True))
        keeper = Keeper(own.database, tmp_path / "journal", Prices({}), clock)
        writer = Writer(own.database, keeper, clock, lambda outcomes: None)
        for name, line in (("good", "{}\n"), ("bad", "\ud800\n")):  # which no database stores
            writer.add(Done(Outcome(held[name], name, "succeeded", line), None))
        await writer.flush()
        assert await counts(own, batch_id) == ("ended", {"succeeded": 1, "errored": 1})


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_lease_is_held_by_its_beat(backend: str):
    async with books(backend) as own:
        batch_id = await make(own, "i0", "i1")
        mine, theirs = await claim(own, batch_id, "lease_a", 1), await claim(own, batch_id, "lease_b", 1)
        async with own.database.write() as connection:
            assert await queue.renew(connection, {"lease_a", "lease_gone"}, NOW + 24) == set(mine)
        assert [held.place for held in await claim(own, batch_id, "lease_c", now=NOW + 13)] == [theirs[0].place]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_what_is_given_back_waits_for_its_time_and_counts_its_attempts(backend: str):
    async with books(backend) as own:
        batch_id = await make(own, "i0")
        async with own.database.write() as connection:
            await queue.give_back(connection, await claim_in(connection, batch_id), NOW + 5, 1)
        assert await claim(own, batch_id, "lease_b", now=NOW + 4) == []
        async with own.database.write() as connection:
            rows = await queue.claim(connection, batch_id, "lease_b", 1, NOW + 5, NOW + 17)
        assert [row.num_attempts for row in rows] == [1]


async def claim_in(connection: Any, batch_id: str) -> list[Held]:
    rows = await queue.claim(connection, batch_id, "lease_a", 1, NOW, NOW + 12)
    return [Held(row.batch_id, row.place, row.lease) for row in rows]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_clock_that_has_jumped_back_holds_nothing_up(backend: str):
    async with books(backend) as own:
        batch_id = await make(own, "i0")
        await claim(own, batch_id, "lease_a", now=NOW + 3600)
        assert len(await claim(own, batch_id, "lease_b", now=NOW)) == 1


@pytest.mark.parametrize("backend", BACKENDS)
async def test_nothing_is_claimed_of_a_batch_that_ends(backend: str):
    async with books(backend) as own:
        canceled, late = await make(own, "i0"), await make(own, "i0")
        await Batches(own.database, ManualClock(NOW), lambda: None).cancel(own.scope, canceled)
        assert await claim(own, canceled, "lease_a") == []
        assert await claim(own, late, "lease_a", now=NOW + 86_400) == []
        async with own.database.read() as connection:
            assert dict(await queue.batches_to_end(connection, NOW)) == {canceled: "canceled"}
            kinds = dict(await queue.batches_to_end(connection, NOW + 86_400))
        assert kinds == {canceled: "expired", late: "expired"}


@pytest.mark.parametrize("backend", BACKENDS)
async def test_cancel_and_completion_at_once_give_each_item_one_result(backend: str):
    async with books(backend) as own:
        batch_id = await make(own, *[f"i{n}" for n in range(60)])
        held = await claim(own, batch_id, "lease_a", 30)
        await Batches(own.database, ManualClock(NOW), lambda: None).cancel(own.scope, batch_id)

        async def end() -> None:
            async with own.database.write() as connection:
                while await queue.end_items(connection, batch_id, "canceled", 7, NOW + 1):
                    pass

        await asyncio.gather(end(), end(), *[finish(own, held[at : at + 5]) for at in range(0, 30, 5)])
        assert await counts(own, batch_id) == ("ended", {"succeeded": 30, "canceled": 30})
        async with own.database.read() as connection:
            results = await store.read_results(connection, own.scope, batch_id, "", 100)
        assert len(results) == 60


@pytest.mark.parametrize("backend", BACKENDS)
async def test_items_come_in_the_order_of_what_their_prompts_share(backend: str):
    def long(name: str, n: int) -> Any:
        return {"custom_id": f"{name}{n}", "params": ask(f"{n}") | {"system": f"{name} " * 2000}}

    async def mixed() -> AsyncIterator[bytes]:
        yield json.dumps({"requests": [long(name, n) for n in range(4) for name in "abc"]}).encode()

    async with books(backend) as own:
        author = Author(Principal("apikey_01its", own.scope), Version.V2026_10_21)
        batch = await Batches(own.database, ManualClock(NOW), lambda: None).create(author, mixed())
        async with own.database.write() as connection:
            rows = await queue.claim(connection, batch.id, "lease_a", 12, NOW, NOW + 12)
    names = "".join(row.custom_id[0] for row in rows)
    assert sorted(names[at : at + 4] for at in (0, 4, 8)) == ["aaaa", "bbbb", "cccc"]


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_request_that_breaks_off_leaves_nothing(backend: str):
    async def broken() -> AsyncIterator[bytes]:
        request = {"custom_id": "%d", "params": ask("word " * 20_000)}
        yield b'{"requests": ['
        for n in range(30):
            yield json.dumps(request | {"custom_id": f"{n}"}).encode() + b","
        raise ConnectionError

    async with books(backend) as own:
        clock = ManualClock(NOW)
        batches = Batches(own.database, clock, lambda: None)
        author = Author(Principal("apikey_01its", own.scope), Version.V2026_10_21)
        with pytest.raises(ConnectionError):
            await batches.create(author, broken())
        async with own.database.write() as connection:
            (row,) = await queue.batches_to_clear(connection, 0, 0)
            assert row.state == "deleted"
            while await queue.clear(connection, row.id, 10):
                pass
            await queue.forget(connection, row.id)
            assert not await queue.batches_to_clear(connection, NOW * 2, NOW * 2)
            assert not (await connection.exec_driver_sql("SELECT place FROM batch_items")).all()


@pytest.mark.parametrize("backend", BACKENDS)
async def test_two_servers_share_a_batch_and_each_item_is_done_once(backend: str, tmp_path: Path):
    settings: dict[str, Any] = {"data_dir": tmp_path, "slots": 4}
    if backend == "postgresql":
        settings["database_url"] = new_postgres_url()
    items: list[Any] = [
        {"custom_id": f"i{n}", "params": ask(f"say {n}", model="slow", max_tokens=3)} for n in range(40)
    ]
    async with World(**settings) as one, World(**settings) as other, one.sdk() as client:
        made = await client.messages.batches.create(requests=items)
        batch = await ended(client, made.id)
        assert batch.request_counts.succeeded == 40
        results = await results_of(client, made.id)
        assert set(results) == {f"i{n}" for n in range(40)}
        await one.app.keeper.flush()
        await other.app.keeper.flush()
        async with one.app.database.read() as connection:
            charged = (await connection.exec_driver_sql("SELECT message_id FROM usage")).scalars().all()
    assert sorted(charged) == sorted(result.message.id for result in results.values())


@pytest.mark.parametrize("backend", BACKENDS)
async def test_a_server_that_stops_gives_back_at_once_what_it_has(backend: str, tmp_path: Path):
    settings: dict[str, Any] = {"data_dir": tmp_path, "slots": 2}
    if backend == "postgresql":
        settings["database_url"] = new_postgres_url()
    async with World(batch_worker=False, **settings) as seen, seen.sdk() as client:
        async with World(**settings) as stopped:
            items: list[Any] = [
                {"custom_id": f"i{n}", "params": ask(model="slow", max_tokens=10_000)} for n in range(8)
            ]
            made = await client.messages.batches.create(requests=items)
            while stopped.app.worker.num_running < 2:
                await asyncio.sleep(0.01)
        async with seen.app.database.read() as connection:
            leases = (await connection.exec_driver_sql("SELECT lease FROM batch_items")).scalars().all()
        assert leases == [None] * 8
        assert (await client.messages.batches.retrieve(made.id)).request_counts.processing == 8
