"""What a database's failure means."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import exc

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError
from antiphon.store.db import Database, url_of
from antiphon.store.directory import Directory
from tests.fixtures.databases import SECRET

URL = "postgresql://user:hidden@host/name?password=hidden"


class ServerError(Exception):
    def __init__(self, sqlstate: str) -> None:
        super().__init__(f"state {sqlstate}")
        self.sqlstate = sqlstate


def failure(sqlstate: str, kind: type[exc.DBAPIError] = exc.DBAPIError) -> exc.DBAPIError:
    return kind("SELECT 1", None, ServerError(sqlstate))


def raising(error: BaseException) -> Database:
    """A database whose connections fail with `error`."""
    database = Database(url_of(None, URL))  # type: ignore[arg-type]

    def connect() -> None:
        raise error

    database._engine = type("Engine", (), {"connect": staticmethod(connect)})()  # type: ignore[assignment]
    return database


@pytest.mark.parametrize(
    ("sqlstate", "advice"),
    [
        ("08006", "see that it runs"),
        ("25006", "read-only"),
        ("28P01", "the user and the password"),
        ("3D000", "the name of the database"),
        ("42501", "the right to use it"),
        ("53100", "make room on its disk"),
        ("53300", "max_connections"),
        ("53200", "more memory"),
        ("57P01", "its own log"),
        ("57P03", "its own log"),
        ("58030", "its machine has a fault"),
    ],
)
async def test_a_server_that_cannot_work_is_overloaded_and_the_log_says_what_to_do(
    sqlstate: str, advice: str, caplog: pytest.LogCaptureFixture
):
    with pytest.raises(ApiError) as raised:
        async with raising(failure(sqlstate)).read():
            pass
    assert raised.value.kind.status == 529
    assert advice in caplog.text
    assert "the database name on host failed" in caplog.text
    assert "hidden" not in caplog.text


@pytest.mark.parametrize("sqlstate", ["23505", "22003", "42P01", "0A000"])
async def test_a_broken_rule_and_a_wrong_statement_are_the_callers(sqlstate: str):
    with pytest.raises(exc.DBAPIError):
        async with raising(failure(sqlstate, exc.IntegrityError)).read():
            pass


async def test_the_directory_goes_on_following_a_database_that_starts():
    clock = ManualClock()
    database = raising(failure("57P03"))
    directory = Directory(database, SECRET.pepper, clock)
    assert not directory.check_fresh()
    following = asyncio.get_running_loop().create_task(directory.follow())
    for _ in range(20):
        await asyncio.sleep(0)
        clock.advance(1)
    assert database.num_failures > 2
    assert not following.done()
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def test_a_disk_that_fails_is_told(caplog: pytest.LogCaptureFixture):
    with pytest.raises(ApiError):
        async with raising(exc.OperationalError("SELECT 1", None, OSError("disk I/O error"))).read():
            pass
    assert "its disk cannot be read or written" in caplog.text
