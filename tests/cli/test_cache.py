"""`antiphon cache`, beside a server that runs and after it has ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli.commands import run
from tests.fixtures.serving import Served, serving, wait_until

RULES = " ".join(f"Rule {number}: be kind to the {number}th of them." for number in range(15))
SYSTEM: Any = [{"type": "text", "text": RULES, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]


def call(server: Served) -> None:
    with server.sdk() as client:
        client.messages.create(
            model="claude-x", max_tokens=1, system=SYSTEM, messages=[{"role": "user", "content": "Hi"}]
        )


def shown(folder: Path, kept: Path) -> dict[str, Any]:
    return json.loads(run("cache", "--json", "--kv-dir", str(kept), folder=folder).stdout)


@pytest.mark.real
def test_a_prompt_is_shown_in_its_slot_then_as_kept_and_is_warm_after_a_restart(smollm2: Path, tmp_path: Path):
    kept = tmp_path / "kv"
    arguments = ("--model", str(smollm2), "--kv-dir", str(kept))
    with serving(tmp_path, *arguments, ANTIPHON_CACHE_MIN_TOKENS="100") as server:
        call(server)
        wait_until(lambda: shown(tmp_path, kept)["slots"], 20)
        (slot,) = shown(tmp_path, kept)["slots"]
    (entry,) = shown(tmp_path, kept)["entries"]
    assert slot["num_tokens"] == entry["num_tokens"] > 200
    assert (slot["keep"], entry["keep"]) == ("1h", "1h")
    assert entry["num_bytes"] > 10_000
    with serving(tmp_path, *arguments, ANTIPHON_CACHE_MIN_TOKENS="100") as server:
        call(server)
        wait_until(lambda: shown(tmp_path, kept)["num_calls"], 20)
        found = shown(tmp_path, kept)
    assert found["num_prompt"] - found["num_reused"] <= 2
    assert [entry["num_hits"] for entry in found["entries"]] == [1]
    assert "were not computed again" in run("cache", "--kv-dir", str(kept), folder=tmp_path).stdout


def test_where_nothing_is_kept_that_is_said(tmp_path: Path):
    assert "0 prompts are kept" in run("cache", folder=tmp_path).stdout
    assert json.loads(run("cache", "--json", folder=tmp_path).stdout)["entries"] == []
