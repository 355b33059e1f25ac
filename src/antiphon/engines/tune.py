"""Which settings of the built-in engine are fastest for a model on this machine.

Decision 0030 tells what is tried, and what was found.
"""

import asyncio
import inspect
import os
import platform
import textwrap
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
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


_NOTHING = Speed(0.0, 0.0, 0.0, 0.0)


class Trial(NamedTuple):
    setup: Setup
    speed: Speed
    gain: float
    """Over the best so far, measured beside it."""


Measure = Callable[[Sequence[Setup]], Awaitable[Sequence[Speed]]]
"""All setups beside each other. The first has run before; of another, under which the engine ends, all speeds are 0."""


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
        yield Trial(default, (await measure([default]))[0], 1.0)
        return
    before, speed = await _both(measure, default, best)
    gain = speed.over(before)
    yield Trial(best, speed, gain) if gain >= 1.0 else Trial(default, before, 1.0)


async def _both(measure: Measure, best: Setup, setup: Setup) -> tuple[Speed, Speed]:
    """The speeds of two. Where one is faster on the whole but too slow in something, both are measured again: it may
    have been chance."""
    before, speed = await measure([best, setup])
    if speed.over(before) == 0 and speed.gain_over(before) >= _GAIN:
        again = await measure([best, setup])
        before, speed = before.best(again[0]), speed.best(again[1])
    return before, speed


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


async def measure_model(model: Path, plan: gguf.Plan, setups: Sequence[Setup], clock: Clock) -> list[Speed]:
    """Run the model with each of `setups` on a prompt as long as an agent's.

    Engines that fit into memory together take turns, for whatever slows the machine down for a while then slows down
    all of them. Raises OperatorError or ApiError where the first one fails.
    """
    small = replace(plan, window=min(plan.window, _WINDOW), num_slots=_NUM_STREAMS)
    need = len(setups) * gguf.needed_bytes(gguf.read_header(model), small.window * small.num_slots)
    speeds = [_NOTHING] * len(setups)
    async with AsyncExitStack() as stack:
        measures = [_measure(model, setup.apply(small), setup.binary, clock) for setup in setups]
        numbered = dict(enumerate([await stack.enter_async_context(aclosing(measure)) for measure in measures]))
        fit_together = need <= gguf.available_bytes()
        for group in [numbered] if fit_together else [{number: one} for number, one in numbered.items()]:
            await _take_turns(group, speeds)
    return speeds


Measuring = AsyncGenerator[Speed]
"""Yields after each step what is known by then."""


async def _take_turns(going: dict[int, Measuring], speeds: list[Speed]) -> None:
    while going:
        for number in list(going):
            try:
                speeds[number] = await anext(going[number])
            except StopAsyncIteration:
                del going[number]
            except (ApiError, OperatorError):  # the engine ends under it
                if number == 0:
                    raise
                speeds[number] = _NOTHING
                del going[number]


async def _measure(model: Path, plan: gguf.Plan, binary: str | None, clock: Clock) -> Measuring:
    async with _running(model, plan, binary, clock) as engine:
        text = inspect.getsource(textwrap)[: min(_NUM_CHARS, plan.window // 2 * _TOKEN_CHARS)]  # a file of a program
        prompt = await _prompt(engine, text)
        await _call(engine, clock, await _prompt(engine, "Hi."), "")  # the first call pays for what is set up once
        yield _NOTHING
        started = clock.monotonic()
        first = (await _call(engine, clock, prompt, ""))[0] - started
        speed = _NOTHING._replace(prompt=prompt.num_tokens / first)
        replies = {"one": (1, ""), "four": (_NUM_STREAMS, ""), "copied": (1, text[: len(text) // 8])}
        for name, (num_streams, opening) in [*replies.items()] * _NUM_TRIES:
            yield speed
            calls = [_call(engine, clock, prompt, opening) for _ in range(num_streams)]
            pace = _pace(await asyncio.gather(*calls))
            speed = speed.best(_NOTHING._replace(**{name: pace}))  # what else the machine does only makes one slower
        yield speed


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
