"""What goes wrong under a batch, and who goes first: each request has one result, and who chats waits for none."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from antiphon.core.clock import ManualClock
from antiphon.core.errors import internal, overloaded
from antiphon.engines.pool import QUIET_S, Pool
from antiphon.turn.pieces import Piece, Progress
from tests.fixtures.batches import ended, results_of, turn_clock
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import HEADERS, World, ask


def requests(num: int, **fields: Any) -> list[Any]:
    return [{"custom_id": f"i{n}", "params": ask(f"say {n}", **fields)} for n in range(num)]


class Guest:
    def __init__(self, pool: Pool, *, is_computed: bool = False) -> None:
        self.is_computed = is_computed
        self.was_sent_away = False
        self.pool = pool

    def leave(self) -> None:
        self.was_sent_away = True


async def test_no_item_starts_while_somebody_chats():
    clock = ManualClock()
    pool = Pool(4, 10, 5.0, clock)
    await pool.acquire("chat")
    joining = asyncio.ensure_future(pool.join(Guest(pool)))
    await asyncio.sleep(0)
    clock.advance(60)
    await asyncio.sleep(0)
    assert not joining.done()
    pool.release()
    clock.advance(QUIET_S - 0.01)
    await asyncio.sleep(0)
    assert not joining.done(), "an agent that runs a tool is about to call again"
    clock.advance(0.02)
    await joining


async def test_whoever_chats_sends_away_what_is_being_computed_and_takes_a_slot_at_once():
    pool = Pool(3, 10, 5.0, ManualClock())
    old, computing, young = Guest(pool, is_computed=True), Guest(pool), Guest(pool, is_computed=True)
    for guest in (old, computing, young):
        await pool.join(guest)
    call = asyncio.ensure_future(pool.acquire("chat"))
    await asyncio.sleep(0)
    assert (old.was_sent_away, computing.was_sent_away, young.was_sent_away) == (False, True, False)
    pool.leave(computing)
    await call
    second = asyncio.ensure_future(pool.acquire("chat"))
    await asyncio.sleep(0)
    assert (old.was_sent_away, young.was_sent_away) == (False, True)
    pool.leave(young)
    await second
    assert pool.num_free == 0


async def test_a_guest_that_is_cancelled_while_it_waits_takes_nothing():
    clock = ManualClock()
    pool = Pool(1, 10, 5.0, clock)
    await pool.acquire("chat")
    waiting = [asyncio.ensure_future(pool.join(Guest(pool))) for _ in range(3)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    pool.release()
    clock.advance(QUIET_S)
    waiting[1].cancel()  # in the moment in which it is let in
    await asyncio.wait(waiting)
    assert [task.cancelled() for task in waiting] == [True, True, False]
    assert pool.num_free == 0


async def test_an_item_that_made_way_is_done_later_and_charged_once():
    async with World(slots=1, prices={"*": {"input": 1, "output": 1}}) as world, world.sdk() as client:
        made = await client.messages.batches.create(requests=requests(1, model="slow", max_tokens=40))
        while not world.app.worker.num_running or world.app.catalog.models[0].pool.num_free:
            await asyncio.sleep(0.01)
        began_at = asyncio.get_running_loop().time()
        await client.messages.create(**ask())
        assert asyncio.get_running_loop().time() - began_at < 0.6, "it waited for an item of 0.8 s"
        batch = await ended(client, made.id)
        assert batch.request_counts.succeeded == 1
        await world.app.keeper.flush()
        async with world.app.database.read() as connection:
            query = "SELECT count(*), sum(output_tokens) FROM usage WHERE service_tier = 'batch' AND output_tokens > 0"
            assert tuple((await connection.exec_driver_sql(query)).one()) == (1, 40)


async def test_batches_use_every_slot_while_nobody_chats():
    async with World(slots=6) as world, world.sdk() as client:
        await client.messages.batches.create(requests=requests(20, model="slow", max_tokens=100))
        pool = world.app.catalog.models[0].pool
        while pool.num_free:
            await asyncio.sleep(0.01)
        assert world.app.worker.num_running == 6


async def test_an_engine_that_dies_in_mid_item_is_asked_again():
    engine, clock = ScriptedEngine(), ManualClock()
    async with World(engine, clock=clock) as world, world.sdk() as client:
        engine.feed([Piece(progress=Progress(10, 10, 0))], [Piece("half", 1)], internal(), overloaded(5))
        engine.say("whole")
        made = await client.messages.batches.create(requests=requests(1, model="scripted"))
        await ended(client, made.id, clock)
        (result,) = (await results_of(client, made.id)).values()
        assert result.message.content[0].text == "whole"
        assert engine.num_started == 3


async def test_a_dead_workers_items_are_taken_up_within_15_seconds(tmp_path: Path):
    clock = ManualClock()
    async with World(clock=clock, data_dir=tmp_path, slots=2) as dead, dead.sdk() as client:
        made = await client.messages.batches.create(requests=requests(2, model="slow", max_tokens=5))
        await turn_clock(clock, lambda: dead.app.worker.num_running == 2, step_s=0.001)
        await dead.app.worker._tasks.aclose()  # it dies: no lease is given back
        dead.app.worker._running.clear()
        async with World(clock=clock, data_dir=tmp_path) as alive:
            began_at = clock.monotonic()
            await ended(client, made.id, clock, step_s=0.25)
            assert clock.monotonic() - began_at < 15
            assert alive.app.worker.num_running == 0


async def test_a_worker_that_has_lost_its_lease_drops_its_work():
    clock = ManualClock()
    async with World(clock=clock, slots=1) as world, world.sdk() as client:
        made = await client.messages.batches.create(requests=requests(1, model="slow", max_tokens=100_000))
        await turn_clock(clock, lambda: world.app.worker.num_running == 1, step_s=0.001)
        async with world.app.database.write() as connection:
            until = clock.now() + 20
            await connection.exec_driver_sql(f"UPDATE batch_items SET lease = 'anothers', lease_until = {until}")
        await turn_clock(clock, lambda: world.app.worker.num_running == 0, step_s=0.1)
        assert (await client.messages.batches.retrieve(made.id)).request_counts.processing == 1
        await turn_clock(clock, lambda: world.app.worker.num_running == 1, step_s=0.1)  # that one's lease ran out, too


async def test_a_full_disk_holds_results_up_and_loses_none():
    async with World() as world, world.sdk() as client:
        engine = world.app.database._engine

        def fill(connection: Any) -> None:
            connection.exec_driver_sql("PRAGMA max_page_count = 1")  # as many as there are, and no more

        def empty(connection: Any) -> None:
            connection.exec_driver_sql("PRAGMA max_page_count = 1000000000")

        made = await client.messages.batches.create(requests=requests(60, model="lorem", max_tokens=200))
        event.listen(engine, "begin", fill)
        while not world.app.database.num_failures:
            await asyncio.sleep(0.01)
        event.remove(engine, "begin", fill)
        event.listen(engine, "begin", empty)
        assert (await ended(client, made.id)).request_counts.succeeded == 60
        assert len(await results_of(client, made.id)) == 60


async def test_results_of_a_batch_that_is_deleted_meanwhile_are_cut_not_short():
    async with World() as world, world.sdk() as client:
        made = await client.messages.batches.create(requests=requests(400))
        await ended(client, made.id)
        async with world.app.database.write() as connection:  # too long for what lies between the two
            await connection.exec_driver_sql("UPDATE batch_results SET line = line || hex(zeroblob(30000))")
        async with world.http.get(f"/v1/messages/batches/{made.id}/results", headers=HEADERS) as reply:
            await reply.content.readline()
            await client.messages.batches.delete(made.id)
            while (await world_rows(world)) > 0:
                await asyncio.sleep(0.01)
            with pytest.raises(Exception, match=r"payload|reset|closed|completed"):
                await reply.content.read()


async def world_rows(world: World) -> int:
    async with world.app.database.read() as connection:
        return (await connection.exec_driver_sql("SELECT count(*) FROM batch_results")).scalar_one()


async def test_batches_of_workspaces_take_turns_however_long_they_are():
    from antiphon.worker.turns import Turns, Waiting

    turns = Turns()
    waiting = [Waiting("a", "a1"), Waiting("a", "a2"), Waiting("b", "b1")]
    served: list[str] = []
    for _ in range(8):
        one = turns.next(waiting)
        assert one
        turns.serve(one)
        served.append(one.batch_id)
    assert served == ["a1", "b1", "a2", "b1", "a1", "b1", "a2", "b1"]


async def test_a_server_that_is_chatted_with_holds_up_workers_of_other_processes(tmp_path: Path):
    clock = ManualClock()
    async with World(clock=clock, data_dir=tmp_path, batch_worker=False) as chatting, chatting.sdk() as client:
        stop = asyncio.Event()

        async def chat() -> None:
            async with client.messages.stream(**ask(model="slow", max_tokens=100_000)) as stream:
                async for _ in stream:
                    if stop.is_set():
                        return

        async with World(clock=clock, data_dir=tmp_path, slots=2) as other:
            made = await client.messages.batches.create(requests=requests(300, model="slow", max_tokens=2))
            chatting_task = asyncio.ensure_future(chat())
            await turn_clock(clock, lambda: other.app.worker._is_chat_elsewhere, step_s=0.05)
            worker = other.app.worker
            await turn_clock(clock, lambda: not (worker.num_running or worker._writer.num_pending), step_s=0.02)
            left = (await client.messages.batches.retrieve(made.id)).request_counts.processing
            for _ in range(150):
                clock.advance(0.02)
                await asyncio.sleep(0.01)
            assert (await client.messages.batches.retrieve(made.id)).request_counts.processing == left > 0
            stop.set()
            await turn_clock(clock, chatting_task.done, step_s=0.05)
            await turn_clock(clock, lambda: other.app.worker.num_running > 0, step_s=0.2)
