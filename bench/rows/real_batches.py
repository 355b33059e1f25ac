"""Row 11r: with a real model, a batch whose items begin alike, beside the same items one at a time."""

import http.client
import json
import time
from typing import Any

from bench.processes import Child
from bench.report import Limit, Line
from bench.rows.batches import HEADERS, PATH, QUIET_S, ask, has_ended, wait_until
from bench.session import READY_BODY, Bench, Target

_NUM_ITEMS = 64
_NUM_ALONE = 16
_NUM_UNCACHED = 2
"""The others are taken to last as long."""
_NUM_TOKENS = 64
"""Of each reply, at most: two sentences take 40."""
_NUM_PREFIX_WORDS = 1_330
"""Some 1,500 tokens."""
_NUM_SLOTS = 32
"""What several slots gain is in writing: the more replies in one step of the engine, the less each token costs."""
POLL_S = 0.5
"""A client that asks twenty times a second takes as much of two cores as a slot does."""
_WORDS = "the lighthouse keeper wrote down every ship that passed along the coast in a long winter of storms".split()


def shared_prefix(bench: Bench) -> list[Line]:
    if bench.options.model is None:
        return []
    child = bench.stage.antiphon(
        "batch-real",
        "--model",
        str(bench.options.model),
        source=bench.options.source,
        core=None,
        ANTIPHON_CACHE_TELLS_ALL="true",
        ANTIPHON_SLOTS=str(_NUM_SLOTS),
    )
    child.wait_until_ready(Target("ours", child).request(READY_BODY | {"model": "claude-x"}))
    batch_s, usages = _batch(child, "Batch")
    first_s, *later_s = [_call(child, params("Alone", number))[0] for number in range(_NUM_ALONE)]
    alone_s = first_s + sum(later_s) / len(later_s) * (_NUM_ITEMS - 1)
    uncached = [_call(child, params(f"Each{number}", number))[0] for number in range(_NUM_UNCACHED)]
    uncached_s = sum(uncached) / _NUM_UNCACHED * _NUM_ITEMS
    child.stop()
    num_read = [usage["cache_read_input_tokens"] for usage in usages]
    num_computed = sum(usage["input_tokens"] for usage in usages)
    num_prefix = max(num_read)
    num_all = num_computed + sum(num_read)
    num_unique = num_all - (_NUM_ITEMS - 1) * num_prefix
    times = {"batch": [batch_s], "one by one": [alone_s], "without a cache": [uncached_s]}
    what = f"{_NUM_ITEMS} items with a common prefix of {num_prefix} tokens"
    return [
        Line(
            "11r",
            f"{what}: prompt tokens computed / unique",
            "tokens",
            {"batch": [num_computed], "unique": [num_unique]},
            [num_computed / num_unique],
            figure_of="computed/unique",
            limit=Limit(1.1),
        ),
        Line("11r", what, "s", times, [batch_s / alone_s], figure_of="batch/one by one", limit=Limit(0.7)),
        Line("11r", what, "s", times, [batch_s / uncached_s], figure_of="batch/without a cache", limit=Limit(0.25)),
    ]


def params(name: str, number: int) -> dict[str, Any]:
    prefix = " ".join([name, *(_WORDS[at * at % len(_WORDS)] for at in range(_NUM_PREFIX_WORDS))])
    question = f"Write two sentences about ship number {number}."
    return {
        "model": "claude-x",
        "max_tokens": _NUM_TOKENS,
        "temperature": 0,
        "system": prefix,
        "messages": [{"role": "user", "content": question}],
    }


def begin(child: Child, name: str, num_items: int) -> str:
    """The id of a batch that begins."""
    requests = [{"custom_id": f"i{number}", "params": params(name, number)} for number in range(num_items)]
    body = json.dumps({"requests": requests}).encode()
    return ask(child, "POST", PATH, body, len(body))["id"]


def _batch(child: Child, name: str) -> tuple[float, list[dict[str, Any]]]:
    """(seconds, the usage of each item)."""
    time.sleep(QUIET_S)
    began_at = time.monotonic()
    batch_id = begin(child, name, _NUM_ITEMS)
    wait_until(child, batch_id, has_ended, POLL_S)
    took_s = time.monotonic() - began_at
    connection = http.client.HTTPConnection("127.0.0.1", child.port, timeout=30)
    connection.request("GET", f"{PATH}/{batch_id}/results", headers=HEADERS)
    lines = [json.loads(line) for line in connection.getresponse().read().splitlines()]
    connection.close()
    return took_s, [line["result"]["message"]["usage"] for line in lines]


def _call(child: Child, params: dict[str, Any]) -> tuple[float, dict[str, Any]]:
    body = json.dumps(params).encode()
    began_at = time.monotonic()
    message = ask(child, "POST", "/v1/messages", body, len(body))
    return time.monotonic() - began_at, message["usage"]
