"""Row 6: what a cloud's door costs for each event over the native route, on the same gateway."""

from typing import Any, NamedTuple

from bench import load
from bench.report import Limit, Line, over
from bench.rows.latency import body_of
from bench.session import Bench, Target, control

_PACE_MS = 5.0
_NUM_STREAMS = 32
_NUM_TOKENS = 100
_WORDS = {"role": "user", "content": [{"text": "the quick brown fox jumps over the lazy dog and goes home"}]}


class _Door(NamedTuple):
    path: str
    body: dict[str, Any]


def _doors() -> dict[str, _Door]:
    native = body_of(256, 1, stream=True, max_tokens=_NUM_TOKENS)
    invoke = {name: value for name, value in native.items() if name not in ("model", "stream")}
    converse = {"messages": [_WORDS], "inferenceConfig": {"maxTokens": _NUM_TOKENS}}
    return {
        "native": _Door("/v1/messages", native),
        "invoke": _Door(
            "/model/mock/invoke-with-response-stream", invoke | {"anthropic_version": "bedrock-2023-05-31"}
        ),
        "converse": _Door("/model/mock/converse-stream", converse),
    }


def tax(bench: Bench) -> list[Line]:
    """The mock keeps a pace, so that each token is an event and no door can win by joining more of them."""
    doors = _doors()
    (ours,) = bench.targets(["ours"])
    targets = [Target(name, ours.child, door.path) for name, door in doors.items()]

    def cost_us(target: Target) -> float:
        before = target.child.cpu_s
        request = target.request(doors[target.name].body)
        seconds = max(bench.options.seconds, 2.0)
        found = load.run(target.child.port, request, connections=_NUM_STREAMS, seconds=seconds)
        return (target.child.cpu_s - before) / (len(found.total_s) * _NUM_TOKENS) * 1e6

    control(bench.mock, pace_ms=_PACE_MS)
    try:
        costs = bench.take_turns(targets, cost_us)
    finally:
        control(bench.mock, pace_ms=0)
    return [
        Line(
            "6",
            f"processor time per event, {name} over native",
            "µs",
            costs,
            over(costs[name], costs["native"]),
            figure_of=f"{name}/native",
            limit=Limit(1.25),
        )
        for name in doors
        if name != "native"
    ]
