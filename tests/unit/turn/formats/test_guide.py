"""The examples of the guide, run as they stand."""

from pathlib import Path

import pytest

from scripts.check_docs import blocks

GUIDE = Path(__file__).parents[4] / "docs" / "how-to" / "model-format.md"


@pytest.mark.parametrize("block", [block.text for block in blocks(GUIDE, "python test")])
def test_an_example_runs(block: str):
    exec(compile(block, str(GUIDE), "exec"), {})
