"""Rows 2 and 4: how much one core carries."""

from collections.abc import Callable
from typing import Any

from bench import load
from bench.load import Load
from bench.report import Limit, Line, over
from bench.rows.latency import body_of
from bench.session import Bench, Target

_NUM_CONNECTIONS = 16
_NUM_STREAMS = 64
_TOKENS_PER_STREAM = 256


def requests(bench: Bench) -> list[Line]:
    body = body_of(256, 1)
    return _rates(bench, "2", "16 connections", "requests", _NUM_CONNECTIONS, body, lambda found: found.per_second, 25)


def tokens(bench: Bench) -> list[Line]:
    body = body_of(256, 1, stream=True, max_tokens=_TOKENS_PER_STREAM)
    return _rates(bench, "4", "64 streams", "tokens", _NUM_STREAMS, body, lambda found: found.tokens_per_second, 30)


def _rates(
    bench: Bench,
    row: str,
    what: str,
    unit: str,
    connections: int,
    body: dict[str, Any],
    rate_of: Callable[[Load], float],
    peer_factor: float,
) -> list[Line]:
    def measure(target: Target) -> tuple[float, float]:
        """(units per second, processor time per unit in µs)."""
        before = target.child.cpu_s
        found = load.run(
            target.child.port, target.request(body), connections=connections, seconds=bench.options.seconds
        )
        rate = rate_of(found)
        return rate, (target.child.cpu_s - before) / max(rate * found.wall_s, 1) * 1e6

    names = ["direct", "bare", *bench.ours, *bench.peers]
    found = bench.take_turns(bench.targets(names), measure)
    rates = {name: [rate for rate, _ in rounds] for name, rounds in found.items()}
    costs = {name: [cost for _, cost in rounds] for name, rounds in found.items() if name != "direct"}
    limit = Limit(0.5, is_least=True)
    lines = [
        Line(
            row,
            f"{unit}/s, {what}",
            f"{unit}/s",
            rates,
            over(rates[name], rates["bare"]),
            figure_of=f"{name}/bare",
            limit=limit,
        )
        for name in bench.ours
    ]
    for peer in bench.peers:
        ratio = over(rates["ours"], rates[peer])
        least = Limit(peer_factor, is_least=True)
        lines.append(Line(row, f"{unit}/s, {what}", f"{unit}/s", rates, ratio, figure_of=f"ours/{peer}", limit=least))
    for line in lines:
        line.check_control(rates["direct"])
        line.check_headroom(rates["direct"], rates["ours"])
    cost = Line(row, f"processor time per {unit[:-1]}", "µs", costs, over(costs["ours"], costs["bare"]))
    return [*lines, cost]
