"""What a token and a request may cost, counted in work and not in seconds."""

import asyncio
import sys
import tracemalloc
from collections.abc import Awaitable
from hashlib import sha256
from typing import Any, TypeVar

import pytest
from PIL import Image

from antiphon.core.clock import SystemClock, Timer
from antiphon.turn.pieces import Piece, Stop
from antiphon.web.body import read_body
from antiphon.web.call import PublicCall
from antiphon.web.cycle import Cycle, head_of
from antiphon.wire.content import Base64Image
from tests.fixtures.engines import ScriptedEngine
from tests.fixtures.images import png
from tests.fixtures.world import World, ask

T = TypeVar("T")


class CountingClock(SystemClock):
    """It counts from `begin` on, and leaves out what the tasks do that run by then: they go by the clock."""

    def __init__(self) -> None:
        self.num_timers = 0
        self._others: set[asyncio.Task[Any]] = set()

    def begin(self) -> None:
        self.num_timers, self._others = 0, asyncio.all_tasks()

    def call_later(self, delay_s: float, callback: Any) -> Timer:
        self.num_timers += asyncio.current_task() not in self._others
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
        num_parts = work.num_parts
        clock.begin()
        await world.stream(ask(model="scripted"))
        asyncio.get_running_loop().set_task_factory(None)
        work.num_timers, work.num_parts = clock.num_timers, work.num_parts - num_parts
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
        hooks = sys.get_asyncgen_hooks()
        writes.clear()
        clock.begin()
        asyncio.get_running_loop().set_task_factory(make_task)
        sys.set_asyncgen_hooks(firstiter=note_generator)
        status, *_ = await world.post("/v1/messages", ask(model="scripted"))
        sys.set_asyncgen_hooks(*hooks)
        asyncio.get_running_loop().set_task_factory(None)
    assert status == 200
    assert (len(tasks), len(writes)) == (1, 1)
    assert len(generators) <= 3, generators
    assert clock.num_timers <= 1  # the ledger's, for many calls together


async def test_a_long_body_is_held_once_while_it_comes():
    pieces = [65536] * 100

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(pieces.pop()), "more_body": bool(pieces)}

    body, peak_bytes = await _with_peak(read_body(receive, {}, 1 << 25))
    assert len(body) == 6_553_600
    assert peak_bytes < 1.25 * len(body)


async def test_a_long_picture_is_digested_without_a_copy():
    async def digested() -> str:
        return source.digest

    source = Base64Image(type="base64", media_type="image/png", data="QUJD" * 2_000_000)
    digest, peak_bytes = await _with_peak(digested())
    assert digest == sha256(source.data.encode()).hexdigest()
    assert peak_bytes < 0.5 * len(source.data)


async def test_a_picture_that_came_before_is_digested_once_and_read_no_more(monkeypatch):
    picture, digested = png(Image.effect_noise((600, 600), 100)), list[bytes]()

    def counted_sha256(data: bytes = b"") -> Any:
        digested.append(data)
        return sha256(data)

    async with World() as world:
        await world.post("/v1/messages", ask([picture]))
        (jobs, _) = world.app.media.sandboxes
        monkeypatch.setattr("antiphon.wire.content.sha256", counted_sha256)
        monkeypatch.setattr("antiphon.media.load.sha256", counted_sha256)
        assert (await world.post("/v1/messages", ask([picture])))[0] == 200
        assert (len(digested), jobs.num_jobs) == (1, 1)


async def _with_peak(work: Awaitable[T]) -> tuple[T, int]:
    """What comes of the work, and the most memory that it held."""
    tracemalloc.start()
    try:
        return await work, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb", b"a\rb"])
def test_a_header_that_leaves_its_line_is_never_sent(value: bytes):
    with pytest.raises(ValueError, match="line break"):
        head_of(200, [(b"content-type", b"text/plain"), (b"x-name", value)])
