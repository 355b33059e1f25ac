"""SQLAlchemy's Core for coroutines: its calls run in greenlets, in which its drivers can wait.

So they do in `sqlalchemy.ext.asyncio`; but that imports the ORM, which takes a fifteenth of a start and is not used.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, TypeVar, TypeVarTuple, overload

from sqlalchemy import Connection, CursorResult, Dialect, Engine, Executable, Transaction
from sqlalchemy.sql.selectable import TypedReturnsRows
from sqlalchemy.util import greenlet_spawn

from antiphon.core.tasks import to_completion

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
Rows = CursorResult[*tuple[Any, ...]]


class AsyncTransaction:
    """Committed at the end of its block, unless it was rolled back by then; an exception rolls it back."""

    def __init__(self, begin: Callable[[], Transaction]) -> None:
        self._begin = begin

    async def __aenter__(self) -> "AsyncTransaction":
        self._transaction = (await greenlet_spawn(self._begin)).__enter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await greenlet_spawn(self._transaction.__exit__, kind, error, traceback)

    async def rollback(self) -> None:
        await greenlet_spawn(self._transaction.rollback)


class AsyncConnection:
    """A connection in a transaction. What a statement returns has been read whole."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @property
    def dialect(self) -> Dialect:
        return self._connection.dialect

    @overload
    async def execute(self, statement: TypedReturnsRows[*Ts], parameters: Any = None) -> CursorResult[*Ts]: ...

    @overload
    async def execute(self, statement: Executable, parameters: Any = None) -> Rows: ...

    async def execute(self, statement: Executable, parameters: Any = None) -> Rows:
        return await greenlet_spawn(self._connection.execute, statement, parameters)

    async def exec_driver_sql(self, statement: str, parameters: Any = None) -> Rows:
        return await greenlet_spawn(self._connection.exec_driver_sql, statement, parameters)

    async def run_sync(self, work: Callable[[Connection, *Ts], T], *arguments: *Ts) -> T:
        """What `work`, which knows nothing of coroutines, makes of SQLAlchemy's own connection."""
        return await greenlet_spawn(work, self._connection, *arguments)

    def begin_nested(self) -> AsyncTransaction:
        return AsyncTransaction(self._connection.begin_nested)


@asynccontextmanager
async def connect(engine: Engine, **options: Any) -> AsyncGenerator[AsyncConnection, None]:
    """A connection and its transaction. Whatever becomes of that, the connection is given back."""
    connection = await greenlet_spawn(engine.connect)
    try:
        connection = connection.execution_options(**options)
        async with AsyncTransaction(connection.begin):
            yield AsyncConnection(connection)
    finally:
        await to_completion(greenlet_spawn(connection.close))


async def dispose(engine: Engine) -> None:
    """Close the connections that nobody has."""
    await greenlet_spawn(engine.dispose)
