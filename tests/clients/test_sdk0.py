"""The last 0.x SDK (x-api-key, 2023-06-01), in an environment of its own."""

import asyncio
import json
import os
from pathlib import Path

from tests.fixtures.world import API_KEY, World

_SCRIPT = Path(__file__).with_name("sdk0_client.py")


async def test_the_0x_sdk_gets_answers(sdk0_python: Path):
    async with World() as world:
        environment = {"PATH": os.environ["PATH"], "ANTHROPIC_BASE_URL": world.url, "ANTHROPIC_API_KEY": API_KEY}
        process = await asyncio.create_subprocess_exec(
            str(sdk0_python), str(_SCRIPT), env=environment, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    told = json.loads(output)
    assert told.pop("version").startswith("0.")
    assert told == {
        "created": "one two three",
        "streamed": "one two three",
        "counts": [5, 5],
        "beta": "one two three",
        "completed": ["one two", "stop_sequence"],
        "chunks": ["one two", "stop_sequence"],
        "batch": [[["one", "one two three"]], True, "message_batch_deleted"],
        "models": ["echo", "lorem", "slow", "fail-N", "down", "tool-caller", "thinker", "adaptive", "json", "citer"],
        "files": ["upload", "a.txt"],
        "file": [True, "text/plain", 19, False],
        "deleted": [True, "file_deleted", "file_not_downloadable"],
        "refused": "invalid x-api-key",
    }
