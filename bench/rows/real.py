"""A real model: tokens per second beside the bare llama.cpp server of the same wheel, with the same settings."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

from bench import talk
from bench.llama import start_llama
from bench.report import Limit, Line, over
from bench.session import READY_BODY, Bench, Target

NUM_STREAMS = (1, 2, 4, 8)
_NUM_STARTS, _MANY_STARTS = 4, 10
"""Two engines of the same binary differ by up to a tenth for as long as they run, by where their memory came to lie."""
_LIMIT = Limit(0.97, is_least=True)
_OVER_ONE = {2: Limit(0.95, is_least=True), 4: Limit(0.95, is_least=True), 8: Limit(1.6, is_least=True)}
"""What several streams together have to make, for what one makes alone."""


def tokens_per_second(bench: Bench) -> list[Line]:
    return _compared(bench, NUM_STREAMS, _NUM_STARTS)


def one_stream(bench: Bench) -> list[Line]:
    """The figure that a noisy machine hides most."""
    return _compared(bench, NUM_STREAMS[:1], _MANY_STARTS)


def _compared(bench: Bench, numbers: Sequence[int], num_starts: int) -> list[Line]:
    if bench.options.model is None:
        return []
    rates: dict[int, dict[str, list[float]]] = {number: {"bare": [], "ours": []} for number in numbers}
    for _ in range(num_starts):
        with engines(bench, num_slots=max(NUM_STREAMS)) as targets:
            for num_streams in numbers:
                for name, found in bench.take_turns(targets, partial(_rate, bench, num_streams)).items():
                    rates[num_streams][name] += found
    return [line for num_streams in numbers for line in _lines(bench.options.model.stem, num_streams, rates)]


def _rate(bench: Bench, num_streams: int, target: Target) -> float:
    requests = [target.request(story(number, bench.options.tokens)) for number in range(num_streams)]
    return talk.ask_together(target.child.port, requests)


def _lines(model: str, num_streams: int, rates: dict[int, dict[str, list[float]]]) -> list[Line]:
    what = f"{model}, {num_streams} stream{'s' if num_streams > 1 else ''}"
    found, alone = rates[num_streams], rates[1]["ours"]
    lines = [Line("real", what, "tokens/s", found, over(found["ours"], found["bare"]), limit=_LIMIT)]
    if limit := _OVER_ONE.get(num_streams):
        both = {f"{num_streams} streams": found["ours"], "one": alone}
        figure_of = f"{num_streams} together/one"
        lines.append(Line("real", what, "tokens/s", both, over(found["ours"], alone), figure_of=figure_of, limit=limit))
    return lines


def story(number: int, max_tokens: int) -> dict[str, Any]:
    """A call whose reply does not end before `max_tokens`."""
    text = f"Story {number}: write a very long story about the sea, the wind and a lighthouse. Do not stop."
    messages = [{"role": "user", "content": text}]
    return {"model": "claude-x", "max_tokens": max_tokens, "temperature": 0, "stream": True, "messages": messages}


@contextmanager
def engines(bench: Bench, num_slots: int) -> Iterator[tuple[Target, Target]]:
    """The bare server and ours, both with the model loaded. They share all cores: only one of them works at a time."""
    options = bench.options
    assert options.model is not None
    ours = bench.stage.antiphon(
        "real",
        "--model",
        str(options.model),
        "--data-dir",
        str(bench.stage.data_dir(options.tuned)),
        source=options.source,
        core=None,
        ANTIPHON_SLOTS=str(num_slots),
    )
    bare = start_llama(bench.stage, options.model, num_slots, options.source)
    targets = Target("bare", bare), Target("ours", ours)
    try:
        for target in targets:
            target.child.wait_until_ready(target.request(READY_BODY | {"model": "claude-x"}))
        yield targets
    finally:
        for target in targets:
            target.child.stop()
