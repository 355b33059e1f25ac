"""`antiphon usage`."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from antiphon.app import create_app
from antiphon.core.clock import SystemClock, rfc3339
from antiphon.ledger.price import Prices
from antiphon.ledger.store import add_entries
from antiphon.settings import Price, Settings
from tests.cli.commands import run
from tests.unit.ledger.entries import entry

PRICES = Prices({"echo": Price(input=Decimal(3), output=Decimal(15))})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder with a call of this hour for each of two models, and one of three days ago."""
    asyncio.run(_fill(tmp_path, NUM_USED))
    return tmp_path


NUM_USED = 4


async def _fill(folder: Path, num: int) -> None:
    """Its first start, and `num` calls."""
    app = create_app(Settings(data_dir=folder, engine="fake:"))  # type: ignore[call-arg]
    await app.open()
    home, holders = app.directory.home, app.directory.now.holders.values()
    (key_id,) = [holder.key_id for holder in holders if holder.kind == "api"]
    where: dict[str, Any] = {"organization_id": home.organization_id, "workspace_id": home.workspace_id}
    now = SystemClock().now()
    calls = [
        entry("msg_1", prices=PRICES, ended_at=now, key_id=key_id, **where),
        entry("msg_2", prices=PRICES, ended_at=now, key_id=key_id, model="free", **where),
        entry("msg_3", prices=PRICES, ended_at=now - 3 * 86_400, key_id=key_id, **where),
        entry("msg_4", ended_at=now, organization_id="org_other", workspace_id="wrkspc_other"),
    ]
    if num:
        async with app.database.write() as connection:
            await add_entries(connection, calls[:num])
    await app.aclose()


def test_a_table_by_model(folder: Path):
    told = run("usage", folder=folder).stdout.splitlines()
    assert [line.split() for line in told] == [
        ["model", "requests", "input", "cache", "write", "cache", "read", "output", "cost"],
        ["echo", "2", "20", "0", "0", "10", "$0.00021"],
        ["free", "1", "10", "0", "0", "5", "$0.00"],
    ]


def test_since_leaves_out_what_is_older(folder: Path):
    (echo, free) = json.loads(run("usage", "--since", "24h", "--json", folder=folder).stdout)
    assert echo == {
        "model": "echo",
        "requests": 1,
        "input_tokens": 10,
        "cache_write_tokens": 0,
        "cache_read_tokens": 0,
        "output_tokens": 5,
        "cost_nano_dollars": 105_000,
    }
    assert free["model"] == "free"


def test_by_day_key_and_workspace(folder: Path):
    days = json.loads(run("usage", "--by", "day", "--json", folder=folder).stdout)
    today = rfc3339(SystemClock().now())[:10]
    assert len(days) == 2
    assert days[0]["day"] < days[1]["day"] <= today
    (key,) = json.loads(run("usage", "--by", "key", "--json", folder=folder).stdout)
    assert key["key"].startswith("apikey_")
    assert key["name"] == "First api key"
    (workspace,) = json.loads(run("usage", "--by", "workspace", "--json", folder=folder).stdout)
    assert (workspace["name"], workspace["requests"]) == ("Default", 3)
    assert "Default" in run("usage", "--by", "workspace", folder=folder).stdout


def test_nothing_used_and_a_wrong_time(tmp_path: Path):
    asyncio.run(_fill(tmp_path, 0))
    assert run("usage", folder=tmp_path).stdout == "Nothing has been used in this time.\n"
    assert run("usage", "--json", folder=tmp_path).stdout == "[]\n"
    for since in ("yesterday", "0d", "7", "-1d"):
        told = run("usage", f"--since={since}", folder=tmp_path, fails=True)
        assert told.stderr == f"antiphon: --since {since} is no time: say 12h, 7d or 2w.\n"
