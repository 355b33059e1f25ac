"""Row 1b: long prompts through the llama.cpp dialect: render, tokenize, then ask with ids."""

import itertools
import statistics
from typing import Any

from bench import load, talk
from bench.report import Limit, Line, minus
from bench.rows.real import engines
from bench.session import Bench, Target

_LENGTHS = {"1K": 1_000, "6K": 6_000}
_LIMITS = {"6K": Limit(15)}
_WORDS = "the quick brown fox jumps over the lazy dog and goes home".split()
_MAX_TOKENS = 4
_WHAT = "added time to first token, {} tokens, {}"


def through_llamacpp(bench: Bench) -> list[Line]:
    lines = _beside_the_mock(bench)
    return lines + _beside_llamacpp(bench) if bench.options.model else lines


def _prompt(num_words: int) -> str:
    return " ".join(itertools.islice(itertools.cycle(_WORDS), num_words))


def _beside_the_mock(bench: Bench) -> list[Line]:
    mock = bench.start_mock("llamacpp")
    ours = Target("ours", bench.start("ours", mock))
    ours.child.wait_until_ready(ours.request(_body("hi")))
    direct = Target("direct", mock, "/completion")
    lines: list[Line] = []
    for name, length in _LENGTHS.items():
        prompt = _prompt(length)
        bodies = {"ours": _body(prompt), "direct": {"prompt": prompt, "n_predict": _MAX_TOKENS, "stream": True}}

        def first_ms(target: Target, bodies: dict[str, dict[str, Any]] = bodies) -> float:
            request = target.request(bodies[target.name])
            found = load.run(target.child.port, request, connections=1, seconds=bench.options.seconds)
            return statistics.median(found.first_s) * 1e3

        lines.append(_line(name, "instant mock", bench.take_turns([direct, ours], first_ms)))
        lines[-1].check_control(lines[-1].values["direct"])
    ours.child.stop()
    return lines


def _beside_llamacpp(bench: Bench) -> list[Line]:
    """The prompt is in both engines' caches, so that what is left to compute is one token."""
    lines: list[Line] = []
    with engines(bench, num_slots=1) as (bare, ours):
        for name, length in _LENGTHS.items():
            body = _body(_prompt(length - 100))

            def first_ms(target: Target, body: dict[str, Any] = body) -> float:
                answers = [talk.ask(target.child.port, target.request(body)) for _ in range(3)]
                return statistics.median(answer.first_s for answer in answers) * 1e3

            lines.append(_line(name, "SmolLM2, cached", bench.take_turns([bare, ours], first_ms)))
    return lines


def _body(prompt: str) -> dict[str, Any]:
    messages = [{"role": "user", "content": prompt}]
    return {"model": "claude-mock", "max_tokens": _MAX_TOKENS, "stream": True, "messages": messages}


def _line(name: str, beside: str, found: dict[str, list[float]]) -> Line:
    below = found.get("direct") or found["bare"]
    line = Line("1b", _WHAT.format(name, beside), "ms", found, minus(found["ours"], below))
    line.figure_unit, line.figure_of, line.limit = "ms", "added", _LIMITS.get(name)
    return line
