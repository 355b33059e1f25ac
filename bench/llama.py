"""The bare llama.cpp server of the wheel, set up exactly as the gateway sets up its own."""

import json
import os
import subprocess
import sys
from pathlib import Path

from antiphon.engines import gguf
from antiphon.engines.runner import Config
from bench.processes import KEY, Child, Stage


def start_llama(stage: Stage, model: Path, num_slots: int, source: Path) -> Child:
    """It listens already, and loads its model."""
    config = json.dumps(_config(model, num_slots)).encode() + b"\n"
    command = [sys.executable, "-m", "antiphon.engines.runner"]
    child = stage.start(
        "llama", command, 0, core=None, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={"PYTHONPATH": str(source)}
    )
    child.port = int(json.loads(child.talk(config))["url"].rpartition(":")[2])
    return child


def _config(model: Path, num_slots: int) -> Config:
    plan = gguf.plan(model, gguf.available_bytes(), os.cpu_count() or 1, num_slots=num_slots)
    return {
        "model": str(model),
        "window": plan.window,
        "num_slots": plan.num_slots,
        "num_batch": plan.num_batch,
        "num_threads": plan.num_threads,
        "num_checkpoints": plan.num_checkpoints,
        "flash": plan.flash,
        "repacks": plan.repacks,
        "q8_keys": plan.q8_keys,
        "num_draft": plan.num_draft,
        "cache_mib": plan.cache_mib,
        "save_folder": None,
        "projector": None,
        "key": KEY,
        "parent": os.getpid(),
        "binary": None,
    }
