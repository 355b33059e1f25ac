"""The ledger under SIGKILL: every call that was acknowledged is there, once."""

import asyncio
import contextlib
import random
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from antiphon.store.db import Database, url_of
from tests.contract.test_ledger import check_hours, files, ledger, rows
from tests.fixtures.databases import BACKENDS, books

pytestmark = pytest.mark.parametrize("backend", BACKENDS)

_CHILD = """
import asyncio, random, sys
from pathlib import Path
from antiphon.core.clock import SystemClock
from antiphon.core.scope import Principal, Scope
from antiphon.ledger import keeper as keeping
from antiphon.ledger.keeper import Keeper
from antiphon.ledger.meter import Meter
from antiphon.ledger.price import Prices
from antiphon.store.db import Database, url_of
from antiphon.wire.events import Usage

folder, seed, url, life = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] or None, sys.argv[4]
keeping._RENEW_BYTES = 20_000
chance = random.Random(seed)


async def call(keeper, principal, name, acknowledged):
    meter = Meter.start(keeper, name, principal, "echo", 10)
    num_output = chance.randrange(1, 600)
    for number in range(0, num_output, 100):
        meter.note(number)
        await asyncio.sleep(chance.random() * 0.01)
    meter.end(Usage(10, num_output), "done")
    acknowledged.write(f"{name} {num_output}\\n")
    acknowledged.flush()


async def main():
    database = Database(url_of(folder, url))
    keeper = Keeper(database, folder / "journal", Prices({}), SystemClock())
    await keeper.open()
    running = asyncio.get_running_loop().create_task(keeper.run())
    principal = Principal("apikey_1", Scope("org_1", "wrkspc_1"))
    print("ready", flush=True)
    with (folder / "acknowledged").open("a") as acknowledged:
        for number in range(10**9):
            calls = [call(keeper, principal, f"msg_{life}_{number}_{n}", acknowledged) for n in range(20)]
            await asyncio.gather(*calls)


asyncio.run(main())
"""


@pytest.mark.parametrize("seed", range(5))
async def test_a_process_that_is_killed_at_any_moment_loses_no_call_that_it_acknowledged(
    backend: str, seed: int, tmp_path: Path
):
    async with books(backend) as own:
        url = "" if own.database.is_sqlite else own.database.url.render_as_string(hide_password=False)
        if own.database.is_sqlite:
            assert own.database.url.database
            own = own._replace(database=await copy_of(own.database, tmp_path))
        chance = random.Random(seed)
        for life in range(2):
            await asyncio.to_thread(live_and_die, tmp_path, seed * 10 + life, url, str(life), chance.uniform(0.05, 0.6))
        acknowledged = {}
        for line in (tmp_path / "acknowledged").read_text().splitlines():
            message_id, num_output = line.split()
            acknowledged[message_id] = int(num_output)
        async with ledger(own, tmp_path / "journal"):
            found = {row.message_id: row for row in await rows(own)}
            await check_hours(own)
        assert acknowledged
        done = {message_id: row.output_tokens for message_id, row in found.items() if row.ending == "done"}
        assert done.items() >= acknowledged.items()
        num_more = len(found) - len(acknowledged)
        assert num_more <= 2 * 20, "more than what can have been open at each kill"
        assert all(row.ending == "cut" for message_id, row in found.items() if message_id not in done)
        assert files(tmp_path / "journal") == []
        if own.database.is_sqlite:
            await own.database.aclose()


async def copy_of(database: Database, folder: Path) -> Database:
    """The database's file at the place where a server would have it."""
    assert database.url.database
    path = url_of(folder, None).database
    assert path
    with contextlib.closing(sqlite3.connect(database.url.database)) as source:
        with contextlib.closing(sqlite3.connect(path)) as target:
            source.backup(target)
    return Database(url_of(folder, None))


def live_and_die(folder: Path, seed: int, url: str, life: str, after_s: float) -> None:
    command = [sys.executable, "-c", _CHILD, str(folder), str(seed), url, life]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        time.sleep(after_s)
        child.kill()
