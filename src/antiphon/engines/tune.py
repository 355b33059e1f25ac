"""Which settings of the built-in engine are fastest for a model on this machine: measured once, then kept.

Decision 0030 tells what is tried, and what was found.
"""

import asyncio
import os
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass, replace
from importlib import metadata
from pathlib import Path
from statistics import geometric_mean
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import orjson

from antiphon.core.clock import Clock
from antiphon.engines import gguf
from antiphon.engines.child import ChildEngine
from antiphon.engines.keeping import digest_of
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.pieces import Sampling, Wish

_GAIN, _LOSS = 1.05, 0.95
"""What all together has to gain for a change to be taken, and what nothing may fall below."""
_NUM_WORDS, _NUM_TOKENS, _NUM_STREAMS = 300, 24, 4
_MAX_BATCH = 512
_WORDS = "river stone cloud tree house bird road lamp".split()


@dataclass(frozen=True, slots=True)
class Setup:
    """What is tried. `binary` is an engine that was built for this machine; None for that of the wheel."""

    num_threads: int
    num_batch: int
    flash: bool | None = None
    repacks: bool = True
    binary: str | None = None

    def apply(self, plan: gguf.Plan) -> gguf.Plan:
        """A batch that has to hold a picture stays as large as that."""
        num_batch = max(plan.num_batch, self.num_batch)
        return replace(plan, num_threads=self.num_threads, num_batch=num_batch, flash=self.flash, repacks=self.repacks)


class Speed(NamedTuple):
    """Tokens a second: of a prompt, of one reply, and of four replies together."""

    prompt: float
    one: float
    four: float

    def over(self, other: "Speed") -> float:
        """How many times as fast as `other`; 0 where any of the three is slower than may be."""
        ratios = [a / b for a, b in zip(self, other, strict=True)]
        return geometric_mean(ratios) if min(ratios) >= _LOSS else 0.0


class Trial(NamedTuple):
    setup: Setup
    speed: Speed
    gain: float
    """Over the best so far, measured beside it."""


Measure = Callable[[Setup], Awaitable[Speed]]


async def tune(default: Setup, binary: str | None, num_logical: int, measure: Measure) -> AsyncGenerator[Trial]:
    """Yields each trial, the last one of the setup to take: the default, unless another is surely faster."""
    best = default
    for change in _changes(default, binary, num_logical):
        setup = replace(best, **change)
        if setup == best:
            continue
        before, speed = await measure(best), await measure(setup)
        gain = speed.over(before)
        yield Trial(setup, speed, gain)
        best = setup if gain >= _GAIN else best
    before, speed = await measure(default), await measure(best)
    gain = speed.over(before) if best != default else 1.0
    yield Trial(best, speed, gain) if gain >= 1.0 else Trial(default, before, 1.0)


def _changes(default: Setup, binary: str | None, num_logical: int) -> Iterator[dict[str, Any]]:
    if binary:
        yield {"binary": binary}
    for num_threads in {num_logical, default.num_threads - 1} - {0, default.num_threads}:
        yield {"num_threads": num_threads}
    for factor in (2, 4):
        yield {"num_batch": min(_MAX_BATCH, default.num_batch * factor)}
    for flash in (True, False):
        yield {"flash": flash}
    yield {"repacks": False}


async def measure_model(model: Path, plan: gguf.Plan, setup: Setup, clock: Clock) -> Speed:
    """Run the model with `setup` for some seconds. Raises OperatorError where it cannot be loaded."""
    async with _running(model, setup.apply(plan), setup.binary, clock) as engine:
        await _pace(engine, clock, 1, 1)  # the first call pays for what is set up once
        prompt = await _prompt_pace(engine, clock)
        one, four = [await _pace(engine, clock, num, _NUM_TOKENS) for num in (1, _NUM_STREAMS)]
    return Speed(prompt, one, four)


@asynccontextmanager
async def _running(model: Path, plan: gguf.Plan, binary: str | None, clock: Clock) -> AsyncGenerator[ChildEngine]:
    small = replace(plan, window=min(plan.window, 1024), num_slots=_NUM_STREAMS)
    with TemporaryDirectory(prefix="antiphon-tune-") as folder:
        path = Path(binary) if binary else None
        engine = ChildEngine(model, Path(folder), clock, name="m", plan=small, binary=path)
        try:
            await engine.start()
            yield engine
        finally:
            await engine.aclose()


async def _prompt_pace(engine: ChildEngine, clock: Clock) -> float:
    started = clock.monotonic()
    num_tokens, _ = await _call(engine, clock, _NUM_WORDS, 1)
    return num_tokens / (clock.monotonic() - started)


async def _pace(engine: ChildEngine, clock: Clock, num_streams: int, num_tokens: int) -> float:
    """Of what is written, from the first token of the last stream on: no prompt is computed then."""
    spans = await asyncio.gather(*[_call(engine, clock, 5, num_tokens) for _ in range(num_streams)])
    moments = [moment for _, moments in spans for moment in moments]
    since = max(moments[0] for _, moments in spans)
    late = [moment for moment in moments if moment > since]
    return len(late) / (max(late) - since) if late and max(late) > since else 1.0


async def _call(engine: ChildEngine, clock: Clock, num_words: int, num_tokens: int) -> tuple[int, list[float]]:
    """(the prompt's tokens, when each token came)."""
    text = " ".join(random.choices(_WORDS, k=num_words)) + " Tell a long story of all this."
    prompt = await engine.prepare("m", Chat((ChatTurn("user", text),)))
    moments: list[float] = []
    async for pieces in engine.generate("m", prompt, Wish(num_tokens, Sampling(0.0), salt=str(random.random()))):
        moments += [clock.monotonic()] * sum(bool(piece.text) for piece in pieces)
    return prompt.num_tokens, moments or [clock.monotonic()]


def setup_of(plan: gguf.Plan) -> Setup:
    return Setup(plan.num_threads, plan.num_batch, plan.flash, plan.repacks)


def num_logical() -> int:
    return os.cpu_count() or 1


def read_tuned(data_dir: Path, model: Path) -> Setup | None:
    """What was found for this model, this engine and this machine, if it was looked for."""
    try:
        kept: dict[str, Any] = orjson.loads((data_dir / "tuned.json").read_bytes())
        setup = Setup(**kept[_key(model)]["setup"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return setup if setup.binary is None or Path(setup.binary).is_file() else None


def keep_tuned(data_dir: Path, model: Path, trial: Trial) -> None:
    path = data_dir / "tuned.json"
    try:
        kept: dict[str, Any] = orjson.loads(path.read_bytes())
    except (OSError, ValueError):
        kept = {}
    kept[_key(model)] = {"setup": asdict(trial.setup), "speed": trial.speed._asdict(), "gain": trial.gain}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(orjson.dumps(kept, option=orjson.OPT_INDENT_2))


def _key(model: Path) -> str:
    return f"{digest_of(model)} {metadata.version('xllamacpp')} {gguf.num_cores()}"
