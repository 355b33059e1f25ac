"""What a token and a request may cost, counted in work and not in seconds."""

import asyncio
import sys
from typing import Any

import pytest

from antiphon.core.clock import SystemClock, Timer
from antiphon.turn.pieces import Piece, Stop
from antiphon.web.call import PublicCall
from antiphon.web.cycle import Cycle, head_of
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.world import World, ask


class CountingClock(SystemClock):
    num_timers = 0

    def call_later(self, delay_s: float, callback: Any) -> Timer:
        self.num_timers += 1
        return super().call_later(delay_s, callback)


class Work:
    """What one streamed reply of `num_bursts` bursts made the server do."""

    def __init__(self) -> None:
        self.num_tasks = 0
        self.num_timers = 0
        self.num_parts = 0


async def work_of(num_bursts: int, monkeypatch: Any) -> Work:
    work, engine, clock = Work(), ScriptedEngine(), CountingClock()

    def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        if "antiphon" in str(coroutine.cr_code.co_filename) or "uvicorn" in str(coroutine.cr_code.co_filename):
            work.num_tasks += 1
        return asyncio.Task(coroutine, loop=loop, **options)

    send_part = PublicCall.send_part

    async def counted_send(self: PublicCall, body: bytes, *, is_last: bool = False) -> None:
        work.num_parts += 1
        await send_part(self, body, is_last=is_last)

    monkeypatch.setattr(PublicCall, "send_part", counted_send)
    async with World(engine, clock) as world:
        await world.post("/v1/nothing", {})  # a connection is there
        engine.feed(*([Piece("x", i + 1)] for i in range(num_bursts)), [Piece("", num_bursts, stop=Stop("end"))])
        asyncio.get_running_loop().set_task_factory(make_task)
        before, num_parts = clock.num_timers, work.num_parts
        await world.stream(ask(model="scripted"))
        asyncio.get_running_loop().set_task_factory(None)
        work.num_timers, work.num_parts = clock.num_timers - before, work.num_parts - num_parts
    return work


async def test_a_token_costs_no_task_and_no_timer(monkeypatch):
    few, many = await work_of(3, monkeypatch), await work_of(300, monkeypatch)
    assert many.num_tasks == few.num_tasks
    assert many.num_timers == few.num_timers


async def test_a_request_costs_one_task_and_a_handful_of_timers(monkeypatch):
    """The request's own; head, body and silence are timed."""
    work = await work_of(3, monkeypatch)
    assert work.num_tasks == 1
    assert work.num_timers <= 4


async def test_each_burst_is_one_send(monkeypatch):
    """One for message_start, one for each burst of text, one for the ending, and the last chunk."""
    work = await work_of(50, monkeypatch)
    assert work.num_parts == 1 + 50 + 1 + 1


async def test_a_whole_reply_costs_one_task_no_timer_and_three_generators(monkeypatch):
    """The request's task; what holds the call, plays it, and asks the engine. Its head and body leave together."""
    tasks, generators, writes = list[str](), list[str](), list[bytes]()

    def make_task(loop: asyncio.AbstractEventLoop, coroutine: Any, **options: Any) -> asyncio.Task[Any]:
        if "antiphon" in (name := coroutine.cr_code.co_filename) or "uvicorn" in name:
            tasks.append(coroutine.__qualname__)
        return asyncio.Task(coroutine, loop=loop, **options)

    def note_generator(generator: Any) -> None:
        if "/antiphon/" in generator.ag_code.co_filename:
            generators.append(generator.__qualname__)

    go_on = Cycle._go_on

    def counted_go_on(self: Cycle, body: bytes, *, is_last: bool) -> None:
        writes.append(body)
        go_on(self, body, is_last=is_last)

    monkeypatch.setattr(Cycle, "_go_on", counted_go_on)
    clock, engine = CountingClock(), ScriptedEngine()
    async with World(engine, clock) as world:
        await world.post("/v1/nothing", {})  # a connection is there
        engine.feed([Piece("x", 1, stop=Stop("end"))])
        num_timers, hooks = clock.num_timers, sys.get_asyncgen_hooks()
        writes.clear()
        asyncio.get_running_loop().set_task_factory(make_task)
        sys.set_asyncgen_hooks(firstiter=note_generator)
        status, *_ = await world.post("/v1/messages", ask(model="scripted"))
        sys.set_asyncgen_hooks(*hooks)
        asyncio.get_running_loop().set_task_factory(None)
        num_timers = clock.num_timers - num_timers
    assert status == 200
    assert (len(tasks), len(writes)) == (1, 1)
    assert len(generators) <= 3, generators
    assert num_timers <= 1  # the ledger's, for many calls together


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb"])
def test_a_header_that_leaves_its_line_is_never_sent(value: bytes):
    with pytest.raises(ValueError, match="line break"):
        head_of(200, [(b"content-type", b"text/plain"), (b"x-name", value)])
