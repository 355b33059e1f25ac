"""Which settings of the built-in engine are fastest for a model on this machine.

Decision 0030 tells what is tried, and what was found.
"""

import asyncio
import inspect
import os
import platform
import textwrap
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from antiphon.core.clock import Clock
from antiphon.core.errors import ApiError, OperatorError
from antiphon.engines import gguf
from antiphon.engines.child import ChildEngine
from antiphon.engines.runner import SLOW_IN_FLASH
from antiphon.engines.saved import SavedPrompts
from antiphon.engines.setup import Setup
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.pieces import Prompt, Sampling, Wish

_GAIN, _LOSS = 1.05, 0.95
"""What all together has to gain for a change to be taken, and what nothing may fall below."""
_NUM_CHARS, _TOKEN_CHARS = 6_000, 3
_NUM_TOKENS, _NUM_STREAMS, _NUM_TRIES = 48, 4, 2
_WINDOW = 4096
_MAX_BATCH = 512
_SAVED_BYTES = 4 << 30


class Speed(NamedTuple):
    """Tokens a second: of a long prompt, of one reply to it, of four together, and of one that repeats the prompt."""

    prompt: float
    one: float
    four: float
    copied: float

    def over(self, other: "Speed") -> float:
        """How many times as fast as `other`; 0 where any of the four is slower than may be."""
        return self.gain_over(other) if min(self._ratios(other)) >= _LOSS else 0.0

    def gain_over(self, other: "Speed") -> float:
        return prod(self._ratios(other)) ** (1 / len(self))

    def _ratios(self, other: "Speed") -> list[float]:
        return [a / b for a, b in zip(self, other, strict=True)]

    def best(self, other: "Speed") -> "Speed":
        return Speed(*map(max, self, other))


_FAILED = Speed(0.0, 0.0, 0.0, 0.0)


class Trial(NamedTuple):
    setup: Setup
    speed: Speed
    gain: float
    """Over the best so far, measured beside it."""


Measure = Callable[[Setup], Awaitable[Speed]]


async def tune(
    default: Setup, binary: str | None, num_logical: int, measure: Measure, *, with_q8_keys: bool = False
) -> AsyncGenerator[Trial]:
    """Yields each trial, the last one of the setup to take: the default, unless another is surely faster.

    Keys of eight bits change what a model says, a little: they are tried where they are asked for.
    """
    best = default
    for change in [*_changes(default, binary, num_logical), *([{"q8_keys": True}] if with_q8_keys else [])]:
        setup = replace(best, **change)
        if setup == best:
            continue
        before, speed = await _both(measure, best, setup)
        gain = speed.over(before)
        yield Trial(setup, speed, gain)
        best = setup if gain >= _GAIN else best
    if best == default:
        yield Trial(default, await measure(default), 1.0)
        return
    before, speed = await _both(measure, default, best)
    gain = speed.over(before)
    yield Trial(best, speed, gain) if gain >= 1.0 else Trial(default, before, 1.0)


async def _both(measure: Measure, best: Setup, setup: Setup) -> tuple[Speed, Speed]:
    """The speeds of two. Where one is faster on the whole but too slow in something, both are measured again: it may
    have been chance."""
    before, speed = await measure(best), await _or_failed(measure, setup)
    if speed.over(before) == 0 and speed.gain_over(before) >= _GAIN:
        before, speed = before.best(await measure(best)), speed.best(await _or_failed(measure, setup))
    return before, speed


async def _or_failed(measure: Measure, setup: Setup) -> Speed:
    try:
        return await measure(setup)
    except (ApiError, OperatorError):  # the engine ends under it
        return _FAILED


def _changes(default: Setup, binary: str | None, num_logical: int) -> Iterator[dict[str, Any]]:
    if binary:  # it leaves flash attention to the engine unless it is told
        yield {"binary": binary, "flash": False if platform.machine() in SLOW_IN_FLASH else default.flash}
    for num_threads in {num_logical, default.num_threads - 1} - {0, default.num_threads}:
        yield {"num_threads": num_threads}
    for factor in (2, 4):
        yield {"num_batch": min(_MAX_BATCH, default.num_batch * factor)}
    yield {"flash": platform.machine() in SLOW_IN_FLASH}  # not what the runner takes by itself
    yield {"repacks": False}
    yield {"drafts": True}


async def measure_model(model: Path, plan: gguf.Plan, setup: Setup, clock: Clock) -> Speed:
    """Run the model with `setup` on a prompt as long as an agent's. Raises OperatorError where it cannot be loaded."""
    small = replace(plan, window=min(plan.window, _WINDOW), num_slots=_NUM_STREAMS)
    async with _running(model, setup.apply(small), setup.binary, clock) as engine:
        text = inspect.getsource(textwrap)[: min(_NUM_CHARS, small.window // 2 * _TOKEN_CHARS)]  # a file of a program
        prompt = await _prompt(engine, text)
        await _call(engine, clock, await _prompt(engine, "Hi."), "")  # the first call pays for what is set up once
        started = clock.monotonic()
        first = (await _call(engine, clock, prompt, ""))[0] - started
        one = await _best_pace(engine, clock, prompt)
        four = await _best_pace(engine, clock, prompt, num_streams=_NUM_STREAMS)
        copied = await _best_pace(engine, clock, prompt, opening=text[: len(text) // 8])
    return Speed(prompt.num_tokens / first, one, four, copied)


@asynccontextmanager
async def _running(model: Path, plan: gguf.Plan, binary: str | None, clock: Clock) -> AsyncGenerator[ChildEngine]:
    with TemporaryDirectory(prefix="antiphon-tune-") as folder:
        path = Path(binary) if binary else None
        saved = SavedPrompts(Path(folder) / "kv", _SAVED_BYTES, clock, model="m", is_lasting=False)
        engine = ChildEngine(model, Path(folder), clock, name="m", plan=plan, binary=path, saved=saved)
        try:
            await engine.start()
            yield engine
        finally:
            await engine.aclose()


async def _prompt(engine: ChildEngine, text: str) -> Prompt:
    return await engine.prepare("m", Chat((ChatTurn("user", f"{text}\n\nTell a long story of all this."),)))


async def _best_pace(
    engine: ChildEngine, clock: Clock, prompt: Prompt, *, num_streams: int = 1, opening: str = ""
) -> float:
    """Of some tries: whatever else the machine does only makes one slower."""
    paces: list[float] = []
    for _ in range(_NUM_TRIES):
        calls = [_call(engine, clock, prompt, opening) for _ in range(num_streams)]
        paces.append(_pace(await asyncio.gather(*calls)))
    return max(paces)


async def _call(engine: ChildEngine, clock: Clock, prompt: Prompt, opening: str) -> list[float]:
    """When each token came. The first call of a prompt brings it into all slots: no other computes it again."""
    wish = Wish(_NUM_TOKENS, Sampling(0.0), opening=opening, num_waiting=_NUM_STREAMS - 1)
    moments: list[float] = []
    async for pieces in engine.generate("m", prompt, wish):
        moments += [clock.monotonic()] * sum(bool(piece.text) for piece in pieces)
    return moments or [clock.monotonic()]


def _pace(streams: Sequence[Sequence[float]]) -> float:
    """Tokens a second from the first token of the last stream on."""
    since = max(moments[0] for moments in streams)
    late = [moment for moments in streams for moment in moments if moment > since]
    return len(late) / (max(late) - since) if late else 1.0


def num_logical() -> int:
    return os.cpu_count() or 1
