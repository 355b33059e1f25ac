"""Row 7: what limits, the ledger and metrics add to a request."""

from bench import load
from bench.report import Limit, Line, over
from bench.rows.latency import body_of
from bench.session import Bench, Target

_NUM_CONNECTIONS = 16


def on_against_off(bench: Bench) -> list[Line]:
    body = body_of(256, 1)

    def cost_us(target: Target) -> float:
        before = target.child.cpu_s
        found = load.run(
            target.child.port, target.request(body), connections=_NUM_CONNECTIONS, seconds=bench.options.seconds
        )
        return (target.child.cpu_s - before) / max(found.per_second * found.wall_s, 1) * 1e6

    costs = bench.take_turns(bench.targets(["ours", "off"]), cost_us)
    return [
        Line(
            "7",
            "processor time per request, limits, ledger and metrics on over off",
            "µs",
            costs,
            over(costs["ours"], costs["off"]),
            figure_of="on/off",
            limit=Limit(1.3),
        )
    ]
