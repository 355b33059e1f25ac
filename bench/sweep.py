"""`python -m bench.sweep`: what the bare llama.cpp server of the wheel makes of several streams, by its settings.

All settings have an engine each, started anew for each start and alive together; they take turns, so that only one of
them works at a time.
"""

import argparse
import importlib
import json
import os
import statistics
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from antiphon.engines import gguf
from bench import report, talk
from bench.processes import KEY, Child, Stage
from bench.rows.real import NUM_STREAMS, story
from bench.session import READY_BODY, post

_MODEL = Path.home() / ".cache" / "antiphon-test-models" / "qwen05.gguf"
_NUM_SLOTS = max(NUM_STREAMS)
_WINDOW = 4096
_OURS = {"flash_attn_type": 0, "kv_unified": False}
SETTINGS: dict[str, dict[str, Any]] = {
    "ours": _OURS,
    "the wheel's defaults": {"kv_unified": True, "n_batch": 2048, "n_ubatch": 512},
    "flash attention on": _OURS | {"flash_attn_type": 1},
    "one buffer for all slots": _OURS | {"kv_unified": True},
    "weights as in the file": _OURS | {"no_extra_bufts": True},
    "batches of 512": _OURS | {"n_batch": 512, "n_ubatch": 512},
    "one thread": _OURS | {"n_threads": 1},
}
"""By name: what is set of llama.cpp's own parameters. Threads and batches are the plan's where they are not named."""


def serve(line: str) -> None:
    """The engine's process: one line of settings in, one with its address out."""
    given: dict[str, Any] = json.loads(line)
    os.putenv("GOMP_SPINCOUNT", "2000")
    answer = os.dup(1)
    os.dup2(2, 1)
    xllamacpp: Any = importlib.import_module("xllamacpp")
    params = xllamacpp.CommonParams()
    params.model.path = given.pop("model")
    params.hostnames, params.port, params.api_keys = ["127.0.0.1"], 0, [given.pop("key")]
    params.n_parallel, params.n_ctx = _NUM_SLOTS, _WINDOW * _NUM_SLOTS
    params.ui = params.fit_params = False
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = given.pop("n_threads")
    for name, value in given.items():
        setattr(params, name, value)
    server = xllamacpp.Server(params)
    os.write(answer, json.dumps({"url": server.listening_address}).encode() + b"\n")
    threading.Event().wait()


def _start(stage: Stage, model: Path, settings: dict[str, Any]) -> Child:
    command = [sys.executable, "-m", "bench.sweep", "--serve"]
    child = stage.start("sweep", command, 0, core=None, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    plan = gguf.plan(model, gguf.available_bytes(), os.cpu_count() or 1, num_slots=_NUM_SLOTS)
    planned = {"n_threads": plan.num_threads, "n_batch": plan.num_batch, "n_ubatch": plan.num_batch}
    line = json.dumps(planned | settings | {"model": str(model), "key": KEY}).encode() + b"\n"
    child.port = int(json.loads(child.talk(line))["url"].rpartition(":")[2])
    child.wait_until_ready(post("/v1/messages", orjson.dumps(READY_BODY)))
    return child


Rates = dict[str, dict[int, list[float]]]


def sweep(model: Path, names: Sequence[str], starts: int, rounds: int, tokens: int) -> Rates:
    """Tokens per second, by setting and number of streams."""
    rates: Rates = {name: {number: [] for number in NUM_STREAMS} for name in names}
    for _ in range(starts):
        with Stage() as stage:
            children = {name: _start(stage, model, SETTINGS[name]) for name in names}
            for number in range(rounds):
                _take_turns(children, rates, tokens, is_back=bool(number % 2))
    return rates


def _take_turns(children: dict[str, Child], rates: Rates, tokens: int, *, is_back: bool) -> None:
    for num_streams in NUM_STREAMS:
        for name in reversed(children) if is_back else children:
            requests = [post("/v1/messages", orjson.dumps(story(number, tokens))) for number in range(num_streams)]
            rates[name][num_streams].append(talk.ask_together(children[name].port, requests))
        found = {name: round(rates[name][num_streams][-1], 1) for name in children}
        print(f"sweep: {num_streams} streams: {found}", file=sys.stderr)


def render(rates: Rates) -> str:
    heads = [f"{number} of one" for number in NUM_STREAMS[1:]]
    lines = ["| settings | one stream, tokens/s | " + " | ".join(heads) + " |", "|---" * (len(heads) + 2) + "|"]
    for name, found in rates.items():
        over = [statistics.median(report.over(found[number], found[1])) for number in NUM_STREAMS[1:]]
        lines.append(
            f"| {name} | {statistics.median(found[1]):.1f} | " + " | ".join(f"{one:.2f}" for one in over) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.sweep", description=__doc__)
    parser.add_argument("--model", type=Path, default=_MODEL)
    parser.add_argument("--settings", default=",".join(SETTINGS), help="which, with commas")
    parser.add_argument("--starts", type=int, default=3, help="how often the engines are started anew")
    parser.add_argument("--rounds", type=int, default=2, help="at each start")
    parser.add_argument("--tokens", type=int, default=64, help="of each reply")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(sys.stdin.readline())
    print(render(sweep(given.model, given.settings.split(","), given.starts, given.rounds, given.tokens)))


if __name__ == "__main__":
    main()
