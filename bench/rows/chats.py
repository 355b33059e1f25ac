"""Row 11c: with a real model, chats beside a batch: how much longer they wait for the first token."""

import json
import time
from pathlib import Path

from antiphon.engines import gguf
from bench import talk
from bench.processes import Child
from bench.report import Limit, Line
from bench.rows.batches import PATH, ask, wait_until
from bench.rows.real_batches import POLL_S, begin, params
from bench.session import READY_BODY, Bench, Target

_NUM_CHATS = 25
_NUM_ITEMS = 400
_QUIET_S = 3.3
"""Between two chats: a second after the last one the batch goes on, and all slots should write again."""


def beside_a_batch(bench: Bench) -> list[Line]:
    """The slowest of so few is their 99th percentile."""
    if bench.options.model is None:
        return []
    child = _start(bench, bench.options.model)
    target = Target("ours", child)
    child.wait_until_ready(target.request(READY_BODY | {"model": "claude-x"}))
    idle = [_first_s(target, number) for number in range(_NUM_CHATS)]
    plan = gguf.plan(bench.options.model, gguf.available_bytes(), gguf.num_cores())  # as the server makes it
    batch_id, step_s = _run_batch(child, plan.num_batch)
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


def _run_batch(child: Child, num_batch: int) -> tuple[str, float]:
    """Its id, once replies are written in it, and how long a step of the engine takes that reads a prompt."""
    body = json.dumps(params("Alone", 0) | {"max_tokens": 1}).encode()
    began_at = time.monotonic()
    num_input = ask(child, "POST", "/v1/messages", body, len(body))["usage"]["input_tokens"]
    step_s = (time.monotonic() - began_at) / num_input * num_batch
    batch_id = begin(child, "Batch", _NUM_ITEMS)
    wait_until(child, batch_id, lambda batch: batch["request_counts"]["succeeded"] > 0, POLL_S)
    return batch_id, step_s
