"""The database: SQLite in the data folder, or PostgreSQL. Transactions are short: none is held while a model writes."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext, suppress
from enum import IntEnum
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, event, exc, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.pool import AsyncAdaptedQueuePool

from antiphon.core.errors import OperatorError, overloaded
from antiphon.store.connection import AsyncConnection, connect, dispose

log = logging.getLogger("antiphon.store")

FILE = "antiphon.db"
_BUSY_TIMEOUT_MS = 5_000
_CLOSE_S = 2.0
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg", "postgres": "postgresql+asyncpg"}
_PRAGMAS = (
    f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)


class Lock(IntEnum):
    """What only one transaction at a time may do; the numbers are PostgreSQL's names for them."""

    TABLES = 0x616E7469
    BLOBS = 0x616E746A


def url_of(data_dir: Path, configured: str | None) -> URL:
    """Where the database is: `configured`, else a file of the data folder. Raises OperatorError."""
    try:
        url = make_url(configured) if configured else URL.create("sqlite", database=str(data_dir / FILE))
        return url.set(drivername=_DRIVERS[url.get_backend_name()])
    except (exc.ArgumentError, KeyError) as error:
        raise OperatorError("database_url must look like postgresql://user:password@host/name.") from error


class Database:
    """`read` and `write` are transactions: committed at the end of the block, rolled back by an exception.

    A database that is locked, full, read-only or away raises `overloaded`, and the log says why.
    """

    def __init__(self, url: URL) -> None:
        self.url = url
        self.num_failures = 0
        self._users = _Users()
        self.is_sqlite = url.get_backend_name() == "sqlite"
        self._writers = asyncio.Lock() if self.is_sqlite else nullcontext()
        self._engine = create_engine(url, poolclass=AsyncAdaptedQueuePool, pool_size=5, pool_timeout=10)
        if self.is_sqlite:
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)

    @property
    def name(self) -> str:
        """What it is called in the log: nothing else of its URL, which may hold a password anywhere."""
        if self.is_sqlite:
            return str(self.url.database)
        return f"{self.url.database} on {self.url.host or self.url.query.get('host') or 'this machine'}"

    @property
    def is_there(self) -> bool:
        """Whether SQLite has its file; of PostgreSQL only a connection can tell."""
        return not self.is_sqlite or Path(self.url.database or "").exists()

    def create(self) -> None:
        """See that SQLite's file is there, and its owner's alone. Raises OSError."""
        if self.is_sqlite and self.url.database:
            path = Path(self.url.database)
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.touch(mode=0o600)

    @asynccontextmanager
    async def read(self) -> AsyncGenerator[AsyncConnection, None]:
        with _told(self), self._users:
            async with connect(self._engine) as connection:
                yield connection

    @asynccontextmanager
    async def write(self) -> AsyncGenerator[AsyncConnection, None]:
        """SQLite takes its one write lock at the beginning, so that a transaction never fails half way for it."""
        with _told(self), self._users:
            async with self._writers, connect(self._engine, antiphon_writes=True) as connection:
                yield connection

    async def hold(self, connection: AsyncConnection, lock: Lock) -> None:
        """Nobody else holds `lock` before the transaction ends, which has to be one that writes: SQLite's are alone."""
        if not self.is_sqlite:
            await connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": int(lock)})

    async def aclose(self) -> None:
        """A transaction under way has a moment to end: who was cut off has still to roll back."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._users.are_gone.wait(), _CLOSE_S)
        await dispose(self._engine)


class _Users:
    """The transactions under way."""

    def __init__(self) -> None:
        self._num = 0
        self.are_gone = asyncio.Event()
        self.are_gone.set()

    def __enter__(self) -> None:
        self._num += 1
        self.are_gone.clear()

    def __exit__(self, *error: object) -> None:
        self._num -= 1
        if not self._num:
            self.are_gone.set()


_UNUSABLE = (exc.OperationalError, exc.InterfaceError, exc.TimeoutError, OSError, TimeoutError)
"""Not a broken constraint, which is the caller's to explain, and no mistake in a statement, which is ours."""

_START = "see that it runs and that this server may use it."
_NO_RIGHT = "give the user of the database's URL the right to use it."
_STATES = {
    "08": _START,
    "25006": "it is read-only: see whether it is a standby, and set default_transaction_read_only = off.",
    "28": "see the user and the password of database_url.",
    "3D": "see the name of the database in database_url, or create that database.",
    "42501": _NO_RIGHT,
    "53100": "make room on its disk.",
    "53300": "raise its max_connections, or run fewer servers.",
    "53": "give it more memory, or less to do.",
    "57": "it starts, stops or was told to cancel: see its own log if this goes on.",
    "58": "its machine has a fault: see its own log.",
}
"""Which of PostgreSQL's SQLSTATEs mean that the database cannot be used, by how they begin, and what to do then.

Source: PostgreSQL's manual, appendix A.
"""


class _told:
    """Turn what befalls a database into one answer for the client, and one sentence for the operator."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        if error is None:
            return
        why = error.orig if isinstance(error, exc.DBAPIError) and error.orig else error
        advice = _advice_of_state(why)
        if advice or isinstance(error, _UNUSABLE) or type(error) is exc.DatabaseError:  # the last: a damaged file
            self._database.num_failures += 1
            log.error("the database %s failed (%s): %s", self._database.name, why, advice or _advice(str(why)))
            raise overloaded() from error


def _advice_of_state(why: BaseException) -> str | None:
    state = str(getattr(why, "sqlstate", None))
    return next((advice for mark, advice in _STATES.items() if state.startswith(mark)), None)


def _advice(why: str) -> str:
    return next((advice for mark, advice in _ADVICE.items() if mark in why), _START)


_ADVICE = {
    "locked": "another process holds it for too long; look for a backup or a tool that has it open.",
    "full": "make room on its disk.",
    "disk I/O": "its disk cannot be read or written: see the system's log, and restore a backup if it is broken.",
    "readonly": "give the server's user the right to write it.",
    "not a database": "restore a backup.",
    "malformed": "restore a backup.",
    "unable to open": "give the server's user the right to its folder.",
}


def _prepare_sqlite(connection: Any, _: object) -> None:
    connection.isolation_level = None  # the driver opens no transaction of its own: `_begin_sqlite` does
    cursor = connection.cursor()
    for pragma in _PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _begin_sqlite(connection: Any) -> None:
    writes = connection.get_execution_options().get("antiphon_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


async def ping(database: Database) -> None:
    async with database.read() as connection:
        await connection.execute(text("SELECT 1"))
