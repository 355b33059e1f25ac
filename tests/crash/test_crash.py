"""kill -9 at any moment: what was acknowledged is in the books, exactly once.

A seed decides what four clients do at once, and at which of its own events the server is killed (`fixtures/dying.py`).
It is started again on the same folder, several times; then it is stopped in order, and the books are compared with what
was acknowledged.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sqlite3
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.crash.mortal import call_until_it_dies
from tests.fixtures import streams
from tests.fixtures.serving import Served, serving
from tests.fixtures.world import ADMIN_KEY, API_KEY

NUM_CLIENTS = 4
NUM_LIVES = 4
MAX_EVENTS = 600


class Driver:
    """Clients that write down what the server has acknowledged."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.messages: dict[str, tuple[int, int]] = {}
        self.keys: dict[str, dict[str, Any]] = {}
        self.workspaces: dict[str, str] = {}
        self.changes = 0

    async def run(self, served: Served) -> None:
        await call_until_it_dies(served, self._client, NUM_CLIENTS)

    async def _client(self, http: aiohttp.ClientSession) -> None:
        while True:
            act = self.random.choice(
                (self._whole, self._stream, self._stream, self._make_key, self._change_key, self._workspace)
            )
            await act(http)

    async def _whole(self, http: aiohttp.ClientSession) -> None:
        body = self._body()
        async with _post(http, "/v1/messages", body, API_KEY) as reply:
            message = await reply.json()
        assert reply.status == 200, message
        self.messages[message["id"]] = (message["usage"]["input_tokens"], message["usage"]["output_tokens"])

    async def _stream(self, http: aiohttp.ClientSession) -> None:
        raw = bytearray()
        async with _post(http, "/v1/messages", self._body() | {"stream": True}, API_KEY) as reply:
            assert reply.status == 200, await reply.text()
            async for chunk in reply.content.iter_any():
                raw += chunk
        events = streams.parse(bytes(raw))
        end = next((event for event in events if event["type"] == "message_delta"), None)
        if end:  # the last frame has come: the call is in the books
            usage = end["usage"]
            self.messages[events[0]["message"]["id"]] = (usage["input_tokens"], usage["output_tokens"])

    def _body(self) -> dict[str, Any]:
        text = " ".join(["word"] * self.random.randint(1, 30))
        model = self.random.choice(("echo", "lorem", "slow"))
        limit = self.random.randint(1, 12 if model == "slow" else 400)
        return {"model": model, "max_tokens": limit, "messages": [{"role": "user", "content": text}]}

    async def _make_key(self, http: aiohttp.ClientSession) -> None:
        name = f"key {self.random.random()}"
        made = await _ask(http, "/antiphon/api_keys", {"name": name})
        self.keys[made["id"]] = {"name": name, "status": "active"}
        self.changes += 1

    async def _change_key(self, http: aiohttp.ClientSession) -> None:
        active = [key_id for key_id, key in self.keys.items() if key["status"] == "active" and not key.get("busy")]
        if not active:
            return
        key_id = self.random.choice(active)
        change = self.random.choice(({"name": f"new {self.random.random()}"}, {"status": "archived"}))
        self.keys[key_id]["busy"] = True  # unknown until it is acknowledged
        await _ask(http, f"/v1/organizations/api_keys/{key_id}", change)
        self.keys[key_id] |= change | {"busy": False}
        self.changes += 1

    async def _workspace(self, http: aiohttp.ClientSession) -> None:
        if len(self.workspaces) > 80:
            return
        name = f"team {self.random.random()}"
        self.workspaces[(await _ask(http, "/v1/organizations/workspaces", {"name": name}))["id"]] = name
        self.changes += 1


@contextlib.asynccontextmanager
async def _post(
    http: aiohttp.ClientSession, path: str, body: Any, key: str
) -> AsyncGenerator[aiohttp.ClientResponse, None]:
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
    async with http.post(path, json=body, headers=headers) as reply:
        yield reply


async def _ask(http: aiohttp.ClientSession, path: str, body: Any) -> dict[str, Any]:
    async with _post(http, path, body, ADMIN_KEY) as reply:
        answer = await reply.json()
    assert reply.status == 200, answer
    return answer


def check(folder: Path, driver: Driver) -> None:
    with closing(sqlite3.connect(folder / "antiphon.db")) as books:
        books.row_factory = sqlite3.Row
        usage = {row["message_id"]: row for row in books.execute("SELECT * FROM usage")}
        keys = {row["id"]: row for row in books.execute("SELECT * FROM api_keys")}
        workspaces = {row["id"]: row["name"] for row in books.execute("SELECT * FROM workspaces")}
        audit = books.execute("SELECT action, target, details FROM audit").fetchall()
        hours = books.execute(
            "SELECT sum(num_requests), sum(input_tokens), sum(output_tokens) FROM usage_hours"
        ).fetchone()
    for message_id, counts in driver.messages.items():
        assert message_id in usage, f"{message_id} was delivered and is not in the books"
        assert (usage[message_id]["input_tokens"], usage[message_id]["output_tokens"]) == counts
        assert usage[message_id]["ending"] == "done"
    sums = [sum(row[name] for row in usage.values()) for name in ("input_tokens", "output_tokens")]
    assert [hours[1], hours[2]] == sums
    assert hours[0] == len(usage)
    num_unacknowledged = len(usage) - len(driver.messages)
    assert num_unacknowledged <= NUM_CLIENTS * NUM_LIVES, "more calls than could have been open"
    for key_id, known in driver.keys.items():
        if not known.get("busy"):
            assert (keys[key_id]["name"], keys[key_id]["status"]) == (known["name"], known["status"])
    assert driver.workspaces.items() <= workspaces.items()
    made = Counter(row["target"] for row in audit if row["action"] == "api_key.created")
    assert {key_id: made[key_id] for key_id in driver.keys} == dict.fromkeys(driver.keys, 1)
    assert driver.changes <= len(audit) <= driver.changes + NUM_CLIENTS * NUM_LIVES


def live(folder: Path, seed: int) -> Driver:
    driver = Driver(seed)
    for _ in range(NUM_LIVES - 1):
        with serving(folder, "--fake", dies_after=driver.random.randint(1, MAX_EVENTS)) as served:
            asyncio.run(driver.run(served))
    with serving(folder, "--fake"):
        pass  # started once more, and stopped in order
    return driver


SEEDS = [int(line) for line in (Path(__file__).with_name("seeds.txt")).read_text().split()]


@pytest.mark.parametrize("seed", SEEDS[:1])
def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path, seed: int):
    check(tmp_path, live(tmp_path, seed))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS[1:])
def test_nothing_acknowledged_is_lost_or_doubled_with_more_seeds(tmp_path: Path, seed: int):
    check(tmp_path, live(tmp_path, seed))


def test_the_check_sees_a_call_that_is_missing(tmp_path: Path):
    driver = live(tmp_path, 4711)
    driver.messages["msg_never"] = (1, 1)
    with pytest.raises(AssertionError, match="msg_never was delivered"):
        check(tmp_path, driver)
    del driver.messages["msg_never"]
    check(tmp_path, driver)
