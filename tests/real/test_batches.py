"""A batch on the real engine: what its requests begin with alike is computed once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.serving import serving, wait_until

pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(300)]

NUM_ITEMS = 24
WORDS = "the keeper of the lighthouse wrote down every ship that passed in a long winter of storms and fog".split()


def params(number: int) -> dict[str, Any]:
    prefix = " ".join(WORDS[at * at % len(WORDS)] for at in range(900))
    question = f"Is the number {number} even?"
    return {
        "model": "claude-x",
        "max_tokens": 4,
        "system": prefix,
        "messages": [{"role": "user", "content": question}],
    }


def test_a_common_beginning_is_computed_once(tmp_path: Path, smollm2: Path):
    settings = {"ANTIPHON_CACHE_TELLS_ALL": "true", "ANTIPHON_SLOTS": "4", "ANTIPHON_WINDOW": "2048"}
    with serving(tmp_path, "--model", str(smollm2), **settings) as served, served.sdk(timeout=60) as client:  # pyright: ignore[reportArgumentType]
        items: list[Any] = [{"custom_id": f"i{number}", "params": params(number)} for number in range(NUM_ITEMS)]
        made = client.messages.batches.create(requests=items)
        wait_until(lambda: client.messages.batches.retrieve(made.id).processing_status == "ended", 240)
        results: list[Any] = [line.result for line in client.messages.batches.results(made.id)]
    usages = [result.message.usage for result in results]
    num_read = [usage.cache_read_input_tokens for usage in usages]
    num_computed = sum(usage.input_tokens for usage in usages)
    num_unique = num_computed + sum(num_read) - (NUM_ITEMS - 1) * max(num_read)
    assert max(num_read) > 800
    assert num_computed <= 1.1 * num_unique, (num_computed, num_unique)
