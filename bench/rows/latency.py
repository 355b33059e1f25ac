"""Rows 1 and 3: what a gateway adds to one request at a time, not streamed."""

import statistics
from typing import Any

from bench import load
from bench.report import Limit, Line, minus, over
from bench.session import Bench, Target

_SMALL_BYTES = 256
_LARGE_BYTES = 400_000
_NUM_TURNS = 41
_MAX_TOKENS = 16
_WORDS = "the quick brown fox jumps over the lazy dog and goes home "


def small(bench: Bench) -> list[Line]:
    return _added(bench, "1", "added p50, one connection, 256 B", body_of(_SMALL_BYTES, 1), Limit(2), None)


def large(bench: Bench) -> list[Line]:
    return _added(
        bench,
        "3",
        "added p50, 400 KB of 41 turns",
        body_of(_LARGE_BYTES, _NUM_TURNS),
        Limit(3),
        Limit(10, is_least=True),
    )


def body_of(num_bytes: int, num_turns: int, **more: Any) -> dict[str, Any]:
    """A request of about `num_bytes`, spread over turns that take turns."""
    share = max((num_bytes - 120) // num_turns - 40, 10)
    text = (_WORDS * (share // len(_WORDS) + 1))[:share]
    turns = [{"role": "assistant" if number % 2 else "user", "content": text} for number in range(num_turns)]
    return {"model": "mock", "max_tokens": _MAX_TOKENS, "stream": False, "messages": turns} | more


def _added(
    bench: Bench, row: str, what: str, body: dict[str, Any], limit: Limit, peer_limit: Limit | None
) -> list[Line]:
    def p50_ms(target: Target) -> float:
        found = load.run(target.child.port, target.request(body), connections=1, seconds=bench.options.seconds)
        return statistics.median(found.total_s) * 1e3

    names = ["direct", "bare", *bench.ours, *bench.peers]
    p50 = bench.take_turns(bench.targets(names), p50_ms)
    added = {name: minus(p50[name], p50["direct"]) for name in names[1:]}
    values = {"direct": p50["direct"], **added}
    lines = [
        Line(row, what, "ms", values, over(added[name], added["bare"]), figure_of=f"{name}/bare", limit=limit)
        for name in bench.ours
    ]
    lines += [
        Line(row, what, "ms", values, over(added[name], added["ours"]), figure_of=f"{name}/ours", limit=peer_limit)
        for name in bench.peers
    ]
    for line in lines:
        line.check_control(p50["direct"])
    return lines
