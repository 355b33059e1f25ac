"""The keeper, where its disk cannot be read."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.scope import Principal
from antiphon.ledger import keeper as keeping
from antiphon.ledger.keeper import Keeper
from antiphon.ledger.meter import Meter
from antiphon.ledger.price import Prices
from antiphon.wire.events import Usage
from tests.fixtures.databases import Books, books


def begun(own: Books, folder: Path) -> Keeper:
    keeper = Keeper(own.database, folder, Prices({}), ManualClock())
    keeper.begin_journal()
    return keeper


def use(own: Books, keeper: Keeper, message_id: str) -> Meter:
    return Meter.start(keeper, message_id, Principal("apikey_1", own.scope), "echo", 10)


def fail_to_read(monkeypatch: pytest.MonkeyPatch, broken: Path) -> None:
    """What a bad sector does: its error names no file."""
    read = Path.read_bytes

    def read_bytes(path: Path) -> bytes:
        if path == broken:
            raise OSError(errno.EIO, "Input/output error")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", read_bytes)


async def endings(own: Books) -> dict[str, str]:
    async with own.database.read() as connection:
        return dict((await connection.exec_driver_sql("SELECT message_id, ending FROM usage")).all())  # type: ignore[arg-type]


async def test_a_piece_that_cannot_be_read_stops_no_start_and_is_left_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async with books("sqlite") as own:
        dead = begun(own, tmp_path)
        use(own, dead, "msg_broken").end(Usage(10, 5), "done")
        use(own, dead, "msg_open")
        broken = dead._journal.renew(dead._open["msg_open"])
        use(own, dead, "msg_whole").end(Usage(10, 5), "done")
        dead._journal.close(is_needed=True)
        with monkeypatch.context() as patch:
            fail_to_read(patch, broken)
            keeper = begun(own, tmp_path)
            await keeper.open()
            await keeper.aclose()
        assert str(broken) in caplog.text
        assert broken.exists()
        assert await endings(own) == {"msg_whole": "done"}
        keeper = begun(own, tmp_path)
        await keeper.open()
        await keeper.aclose()
        assert await endings(own) == {"msg_broken": "done", "msg_open": "cut", "msg_whole": "done"}
        assert list(tmp_path.iterdir()) == []


async def test_a_disk_that_fails_at_the_end_is_told_and_keeps_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    async with books("sqlite") as own:
        keeper = begun(own, tmp_path)
        use(own, keeper, "msg_1").end(Usage(10, 5), "done")
        monkeypatch.setattr(keeping, "_MAX_WAITING", 1)
        keeper._seal()
        (sealed,) = keeper._sealed
        with monkeypatch.context() as patch:
            fail_to_read(patch, sealed)
            await keeper.aclose()
        assert str(sealed) in caplog.text
        keeper = begun(own, tmp_path)
        await keeper.open()
        await keeper.aclose()
        assert await endings(own) == {"msg_1": "done"}
