"""Row 5: what a gateway adds to each token of streams that come at a pace."""

from bench import load
from bench.load import Load
from bench.report import Limit, Line, minus, over, percentile
from bench.rows.latency import body_of
from bench.session import Bench, Target, control

_PACE_MS = 20.0
_NUM_STREAMS = 64
_NUM_TOKENS = 50
_MAX_STALL = 10 * _PACE_MS


def paced(bench: Bench) -> list[Line]:
    control(bench.mock, pace_ms=_PACE_MS)
    try:
        names = ["direct", "bare", *bench.ours]
        return _lines(bench, bench.take_turns(bench.targets(names), lambda target: _measure(bench, target)))
    finally:
        control(bench.mock, pace_ms=0)


def _measure(bench: Bench, target: Target) -> tuple[Load, float]:
    """(what came back, processor time per token in µs). The streams begin one by one over the time of one."""
    body = body_of(256, 1, stream=True, max_tokens=_NUM_TOKENS)
    before = target.child.cpu_s
    stagger_s = _NUM_TOKENS * _PACE_MS / 1e3 / _NUM_STREAMS
    seconds = max(bench.options.seconds, 1.5)
    found = load.run(
        target.child.port, target.request(body), connections=_NUM_STREAMS, seconds=seconds, stagger_s=stagger_s
    )
    return found, (target.child.cpu_s - before) / found.num_tokens * 1e6


def _lines(bench: Bench, found: dict[str, list[tuple[Load, float]]]) -> list[Line]:
    first = {name: [percentile(load.first_s, 0.5) * 1e3 for load, _ in rounds] for name, rounds in found.items()}
    gaps = {name: [percentile(load.gaps_s, 0.99) * 1e3 for load, _ in rounds] for name, rounds in found.items()}
    worst = {name: [max(load.gaps_s) * 1e3 for load, _ in rounds] for name, rounds in found.items()}
    costs = {name: [cost for _, cost in rounds] for name, rounds in found.items() if name != "direct"}
    lines: list[Line] = []
    for name in bench.ours:
        added = minus(first[name], first["direct"])
        lines.append(_line("added time to first token, p50", first, added, f"{name}-direct", Limit(2)))
        lines.append(
            _line("added gap between tokens, p99", gaps, minus(gaps[name], gaps["bare"]), f"{name}-bare", Limit(1))
        )
        longest = [max(worst[name])]
        lines.append(_line("longest gap between tokens", worst, longest, f"{name}, any round", Limit(_MAX_STALL)))
    costs_line = Line("5", "processor time per token", "µs", costs, over(costs["ours"], costs["bare"]))
    return [*lines, costs_line]


def _line(what: str, values: dict[str, list[float]], figure: list[float], figure_of: str, limit: Limit) -> Line:
    what = f"{what}, 64 streams at 20 ms"
    return Line("5", what, "ms", values, figure, figure_unit="ms", figure_of=figure_of, limit=limit)
