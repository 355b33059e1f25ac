"""What has to end before its task does."""

import asyncio

import pytest

from antiphon.core.tasks import to_completion


async def test_a_cancellation_waits_until_what_was_begun_has_ended():
    may_end, has_ended = asyncio.Event(), False

    async def work() -> None:
        nonlocal has_ended
        await may_end.wait()
        has_ended = True

    waiting = asyncio.ensure_future(to_completion(work()))
    for _ in range(3):
        await asyncio.sleep(0)
        waiting.cancel()
    assert not waiting.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert has_ended


async def test_what_is_returned_or_raised_comes_through():
    async def work(value: int) -> float:
        return 1 / value

    assert await to_completion(work(2)) == 0.5
    with pytest.raises(ZeroDivisionError):
        await to_completion(work(0))
