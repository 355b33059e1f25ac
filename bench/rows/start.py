"""Row 9: from the start of the process to its first reply."""

import time

from bench.report import Limit, Line, over
from bench.session import READY_BODY, Bench, Target


def until_first_reply(bench: Bench) -> list[Line]:
    names = ["bare", *bench.ours]
    found: dict[str, list[float]] = {name: [] for name in names}
    for number in range(bench.options.rounds + 1):
        for name in names:
            seconds = _start(bench, name)
            if number:  # the first start writes bytecode
                found[name].append(seconds)
    return [
        Line(
            "9",
            "start to first 200",
            "s",
            found,
            over(found[name], found["bare"]),
            figure_of=f"{name}/bare",
            limit=Limit(3),
        )
        for name in bench.ours
    ]


def _start(bench: Bench, name: str) -> float:
    started = time.perf_counter()
    child = bench.start(name)
    child.wait_until_ready(Target(name, child).request(READY_BODY))
    seconds = time.perf_counter() - started
    child.stop()
    return seconds
