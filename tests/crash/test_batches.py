"""kill -9 at any moment of a batch: each request has one result, the counts add up, and the ledger equals the results.

A seed decides what three clients do with batches, and at which of its own events the server is killed
(`fixtures/dying.py`). It is started again on the same data, several times; in the last life every batch comes to its
end, and everything is compared.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import aiohttp
import orjson
import pytest

from antiphon.store.db import Database, url_of
from tests.crash.mortal import call_until_it_dies
from tests.fixtures.databases import BACKENDS, new_postgres_url
from tests.fixtures.serving import Served, serving
from tests.fixtures.world import API_KEY

NUM_CLIENTS = 3
NUM_LIVES = 4
MAX_EVENTS = 800
PATIENCE_S = 90
BATCHES = "/v1/messages/batches"
HEADERS = {"x-api-key": API_KEY, "anthropic-version": "2023-06-01"}
SEEDS = [int(line) for line in (Path(__file__).with_name("batch_seeds.txt")).read_text().split()]


class Driver:
    """Clients that write down what the server has acknowledged."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.batches: dict[str, dict[str, dict[str, Any]]] = {}
        self.canceled: set[str] = set()
        self.deleting: set[str] = set()
        self.deleted: set[str] = set()
        self.results: dict[str, dict[str, Any]] = {}
        self.busy: set[str] = set()
        """Batches that a client is just asking of: no other one deletes them meanwhile."""

    async def run(self, served: Served) -> None:
        await call_until_it_dies(served, self._client, NUM_CLIENTS, headers=HEADERS)

    async def _client(self, http: aiohttp.ClientSession) -> None:
        while True:
            act = self.random.choices((self._create, self._look, self._cancel, self._fetch), (2, 8, 1, 2))[0]
            await act(http)

    async def _create(self, http: aiohttp.ClientSession) -> None:
        if len(self.batches) > 12:
            return
        requests = [{"custom_id": f"i{n}", "params": self._params(n)} for n in range(self.random.randint(1, 60))]
        made = await ask(http, "POST", BATCHES, {"requests": requests})
        self.batches[made["id"]] = {one["custom_id"]: one["params"] for one in requests}

    def _params(self, n: int) -> dict[str, Any]:
        model = self.random.choice(("echo", "echo", "lorem", "slow", "fail-3", "nobody"))
        limit = self.random.randint(1, 12 if model == "slow" else 200)
        return {"model": model, "max_tokens": limit, "messages": [{"role": "user", "content": f"word {n}"}]}

    @contextlib.contextmanager
    def _one(self) -> Iterator[str | None]:
        """A batch that no other client asks of."""
        known = [one for one in self.batches if one not in self.deleting | self.busy]
        batch_id = self.random.choice(known) if known else None
        self.busy |= {batch_id} if batch_id else set()
        try:
            yield batch_id
        finally:
            self.busy -= {batch_id}

    async def _look(self, http: aiohttp.ClientSession) -> None:
        with self._one() as batch_id:
            if batch_id:
                batch = await ask(http, "GET", f"{BATCHES}/{batch_id}")
                assert sum(batch["request_counts"].values()) == len(self.batches[batch_id])
        await asyncio.sleep(self.random.random() / 50)

    async def _cancel(self, http: aiohttp.ClientSession) -> None:
        with self._one() as batch_id:
            if batch_id and (await ask(http, "POST", f"{BATCHES}/{batch_id}/cancel"))["cancel_initiated_at"]:
                self.canceled.add(batch_id)

    async def _fetch(self, http: aiohttp.ClientSession) -> None:
        """Read the results of a batch that has ended, and sometimes delete it then."""
        with self._one() as batch_id:
            if batch_id and (await ask(http, "GET", f"{BATCHES}/{batch_id}"))["processing_status"] == "ended":
                self.keep(batch_id, await results_of(http, batch_id))
                if self.random.random() < 0.3:
                    self.deleting.add(batch_id)
                    await ask(http, "DELETE", f"{BATCHES}/{batch_id}")
                    self.deleted.add(batch_id)

    def keep(self, batch_id: str, results: dict[str, Any]) -> None:
        """What is handed out once stays as it is."""
        assert self.results.setdefault(batch_id, results) == results, f"the results of {batch_id} have changed"


async def ask(http: aiohttp.ClientSession, method: str, path: str, body: Any = None) -> dict[str, Any]:
    async with http.request(method, path, json=body) as reply:
        answer = await reply.json()
    assert reply.status == 200, answer
    return answer


async def results_of(http: aiohttp.ClientSession, batch_id: str) -> dict[str, Any]:
    async with http.get(f"{BATCHES}/{batch_id}/results") as reply:
        assert reply.status == 200, await reply.text()
        lines = [orjson.loads(line) for line in (await reply.read()).splitlines()]
    twice = [name for name, num in Counter(line["custom_id"] for line in lines).items() if num > 1]
    assert not twice, f"{batch_id} has more than one result for {twice}"
    return {line["custom_id"]: line["result"] for line in lines}


async def finish(served: Served, driver: Driver) -> dict[str, dict[str, Any]]:
    """Wait for every batch that there is; all of them as they are then, by their id."""
    async with aiohttp.ClientSession(served.url, headers=HEADERS) as http, asyncio.timeout(PATIENCE_S):
        while True:
            found = {batch["id"]: batch for batch in (await ask(http, "GET", f"{BATCHES}?limit=1000"))["data"]}
            if all(batch["processing_status"] == "ended" for batch in found.values()):
                break
            await asyncio.sleep(0.1)
        for batch_id in found:
            driver.keep(batch_id, await results_of(http, batch_id))
    return found


def check_results(driver: Driver, found: dict[str, dict[str, Any]]) -> None:
    assert not driver.deleted & found.keys(), "a batch that was deleted is back"
    for batch_id, requests in driver.batches.items():
        if batch_id not in driver.deleting:
            assert batch_id in found, f"{batch_id} was acknowledged and is gone"
        results = driver.results[batch_id]
        assert set(results) == set(requests), f"{batch_id} has other results than requests"
        for name, params in requests.items():
            check_result(params, results[name])
    for batch_id, batch in found.items():
        kinds = Counter(result["type"] for result in driver.results[batch_id].values())
        counts = {kind: num for kind, num in batch["request_counts"].items() if num}
        assert counts == dict(kinds), f"the counts of {batch_id} do not add up"
        if batch_id in driver.canceled or "canceled" in counts:
            assert batch["cancel_initiated_at"], f"{batch_id} has forgotten that it was canceled"


def check_result(params: dict[str, Any], result: dict[str, Any]) -> None:
    if result["type"] == "canceled":
        return
    if params["model"] in ("fail-3", "nobody") and (params["model"] == "nobody" or params["max_tokens"] > 3):
        assert result["type"] == "errored", result
    else:
        assert result["type"] == "succeeded", result
    if params["model"] == "echo":
        text = "".join(block["text"] for block in result["message"]["content"])
        assert params["messages"][0]["content"].startswith(text)


async def check_books(database: Database, driver: Driver) -> None:
    """A charge for each message that was handed out, with its tokens, and no other."""
    async with database.read() as connection:
        query = "SELECT message_id, input_tokens, output_tokens FROM usage WHERE service_tier = 'batch'"
        rows = [tuple(row) for row in await connection.exec_driver_sql(query)]
        hours = await connection.exec_driver_sql(
            "SELECT sum(input_tokens), sum(output_tokens) FROM usage_hours WHERE service_tier = 'batch'"
        )
        sums = tuple(int(num or 0) for num in hours.one())
        items = await connection.exec_driver_sql(
            "SELECT count(*) FROM batch_items JOIN batches ON id = batch_id WHERE state <> 'creating'"
        )
        assert items.scalar_one() == 0, "an item is left"
    messages = [r["message"] for results in driver.results.values() for r in results.values() if "message" in r]
    used = {m["id"]: (m["usage"]["input_tokens"], m["usage"]["output_tokens"]) for m in messages}
    charged = {message_id: tuple(tokens) for message_id, *tokens in rows if any(tokens)}
    assert charged == used
    assert sums == (sum(num for num, _ in used.values()), sum(num for _, num in used.values()))


def live(folder: Path, seed: int, backend: str, num_lives: int) -> tuple[Driver, dict[str, dict[str, Any]], str | None]:
    url = new_postgres_url() if backend == "postgresql" else None
    variables: dict[str, Any] = {"ANTIPHON_BATCH_LEASE_S": "1"} | ({"ANTIPHON_DATABASE_URL": url} if url else {})
    driver = Driver(seed)
    for _ in range(num_lives - 1):
        with serving(folder, "--fake", dies_after=driver.random.randint(1, MAX_EVENTS), **variables) as served:
            asyncio.run(driver.run(served))
    with serving(folder, "--fake", **variables) as served:
        found = asyncio.run(finish(served, driver))
    return driver, found, url


def run(folder: Path, seed: int, backend: str, num_lives: int = NUM_LIVES) -> None:
    driver, found, url = live(folder, seed, backend, num_lives)
    check_results(driver, found)
    asyncio.run(_check_books(folder, url, driver))


async def _check_books(folder: Path, url: str | None, driver: Driver) -> None:
    async with contextlib.AsyncExitStack() as stack:
        database = Database(url_of(folder, url))
        stack.push_async_callback(database.aclose)
        await check_books(database, driver)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("seed", SEEDS[:1])
def test_each_request_has_one_result_whenever_the_server_dies(tmp_path: Path, seed: int):
    run(tmp_path, seed, "sqlite", num_lives=2)


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("seed", SEEDS[1:])
def test_each_request_has_one_result_with_more_seeds(tmp_path: Path, seed: int, backend: str):
    run(tmp_path, seed, backend)
