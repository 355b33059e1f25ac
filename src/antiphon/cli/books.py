"""The accounts, opened for one command: beside a running server, which sees the change within a second."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from antiphon.core.clock import SystemClock
from antiphon.core.errors import ApiError, OperatorError
from antiphon.core.scope import Scope
from antiphon.settings import Settings
from antiphon.store import schema
from antiphon.store.accounts import Accounts
from antiphon.store.db import Database, url_of
from antiphon.store.directory import Directory
from antiphon.store.first import OperatorKeys, open_store
from antiphon.store.secret import Secret, open_secret, read_old_file

T = TypeVar("T")


class Books(NamedTuple):
    accounts: Accounts
    secret: Secret
    home: Scope
    """The first organization and its default workspace."""


def with_books(settings: Settings, work: Callable[[Books], Coroutine[Any, Any, T]]) -> T:
    """What `work` makes of the accounts. Raises OperatorError, in the words of the API's error where there is one."""
    return asyncio.run(_with_books(settings, work))


async def _with_books(settings: Settings, work: Callable[[Books], Coroutine[Any, Any, T]]) -> T:
    clock = SystemClock()
    secret = open_secret(settings.data_dir, _clear(settings.secret_key))

    async def open_and_work(database: Database) -> T:
        if await schema.version(database) is None:
            raise OperatorError(f"There is nothing in {settings.data_dir} yet: start `antiphon serve` first.")
        await open_store(database, secret, read_old_file(settings.data_dir), OperatorKeys(), clock)
        directory = Directory(database, secret.pepper, clock)
        await directory.refresh()
        return await work(Books(Accounts(database, directory, clock), secret, directory.home))

    return await _with_database(settings, open_and_work)


def with_database(settings: Settings, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """What `work` makes of the database as it is; it may be empty. Raises OperatorError."""
    return asyncio.run(_with_database(settings, work))


async def _with_database(settings: Settings, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    database = Database(url_of(settings.data_dir, _clear(settings.database_url)))
    try:
        database.create()
        return await work(database)
    except OSError as error:
        where = database.url.database
        raise OperatorError(f"Cannot use {where} ({error.strerror}): choose another folder with --data-dir.") from error
    except ApiError as error:
        raise OperatorError(error.message) from error
    finally:
        await database.aclose()


def _clear(value: Any) -> str | None:
    return value.get_secret_value() if value else None
