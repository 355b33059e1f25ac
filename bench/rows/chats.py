"""Row 11c: with a real model, chats beside a batch: how much longer they wait for the first token."""

import json
import time
from pathlib import Path

from bench import talk
from bench.processes import Child
from bench.report import Limit, Line
from bench.rows.batches import PATH, ask
from bench.rows.real_batches import params
from bench.session import READY_BODY, Bench, Target

_NUM_CHATS = 25
_NUM_ITEMS = 400
_QUIET_S = 3.3
"""Between two chats: a second after the last one the batch goes on, and all slots should write again."""
_BATCH_TOKENS = 64
"""Of a prompt, in one step of the engine: what it has for a model of half a billion weights on two cores."""


def beside_a_batch(bench: Bench) -> list[Line]:
    """The slowest of so few is their 99th percentile."""
    if bench.options.model is None:
        return []
    child = _start(bench, bench.options.model)
    target = Target("ours", child)
    child.wait_until_ready(target.request(READY_BODY | {"model": "claude-x"}))
    idle = [_first_s(target, number) for number in range(_NUM_CHATS)]
    batch_id, step_s = _run_batch(child)
    beside: list[float] = []
    for number in range(_NUM_CHATS):
        time.sleep(_QUIET_S + number % 7 / 10)
        beside.append(_first_s(target, _NUM_CHATS + number))
    ask(child, "POST", f"{PATH}/{batch_id}/cancel", b"", 0)
    child.stop()
    return [
        Line(
            "11c",
            f"first token of {_NUM_CHATS} chats, the slowest",
            "s",
            {"idle": [max(idle)], "a step of the engine": [step_s], "beside a batch": [max(beside)]},
            [max(beside) / (max(idle) + step_s)],
            figure_of="beside/(idle + step)",
            limit=Limit(1.0),
        )
    ]


def _start(bench: Bench, model: Path) -> Child:
    return bench.stage.antiphon(
        "chats", "--model", str(model), source=bench.options.source, core=None, ANTIPHON_CACHE_TELLS_ALL="true"
    )


def _first_s(target: Target, number: int) -> float:
    question = {"role": "user", "content": f"{number} Name the capital of country number {number}."}
    body = {"model": "claude-x", "max_tokens": 4, "stream": True, "temperature": 0, "messages": [question]}
    return talk.ask(target.child.port, target.request(body)).first_s


def _run_batch(child: Child) -> tuple[str, float]:
    """Its id, once replies are written in it, and how long a step of the engine takes that reads a prompt."""
    time.sleep(1.5)
    began_at = time.monotonic()
    first = params("Alone", 0) | {"max_tokens": 1}
    body = json.dumps(first).encode()
    num_input = ask(child, "POST", "/v1/messages", body, len(body))["usage"]["input_tokens"]
    step_s = (time.monotonic() - began_at) / num_input * _BATCH_TOKENS
    requests = [{"custom_id": f"i{number}", "params": params("Batch", number)} for number in range(_NUM_ITEMS)]
    body = json.dumps({"requests": requests}).encode()
    batch_id = ask(child, "POST", PATH, body, len(body))["id"]
    while not ask(child, "GET", f"{PATH}/{batch_id}")["request_counts"]["succeeded"]:
        time.sleep(0.5)
    return batch_id, step_s
