"""The accounts, opened for one command: beside a running server, which sees the change within a second."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NamedTuple, TypeVar

from antiphon.core.clock import SystemClock
from antiphon.core.errors import ApiError, Kind, OperatorError
from antiphon.core.scope import Scope
from antiphon.settings import Settings
from antiphon.store import secret as secrets
from antiphon.store.accounts import Accounts
from antiphon.store.db import Database, url_of
from antiphon.store.directory import Directory
from antiphon.store.first import check_store
from antiphon.store.secret import Secret, open_secret

T = TypeVar("T")


class Books(NamedTuple):
    accounts: Accounts
    secret: Secret
    home: Scope
    """The first organization and its default workspace."""


def with_books(settings: Settings, work: Callable[[Books], Coroutine[Any, Any, T]], unknown: str = "") -> T:
    """What `work` makes of the accounts. Nothing is written but what `work` writes, and nothing is made or migrated.

    Raises OperatorError, in the words of the API's error where there is one; after a 404 with the advice `unknown`.
    """
    return asyncio.run(_with_books(settings, work, unknown))


async def _with_books(settings: Settings, work: Callable[[Books], Coroutine[Any, Any, T]], unknown: str) -> T:
    has_secret = settings.secret_key or (settings.data_dir / secrets.FILE).exists()

    async def open_and_work(database: Database) -> T:
        _check_is_there(database, settings)
        secret = open_secret(settings.data_dir, _clear(settings.secret_key)) if has_secret else None
        if secret is None or not await check_store(database, secret):
            raise _nothing_in(settings)
        clock = SystemClock()
        directory = Directory(database, secret.pepper, clock)
        await directory.refresh()
        return await work(Books(Accounts(database, directory, clock), secret, directory.home))

    return await _with_database(settings, open_and_work, unknown)


def with_database(settings: Settings, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """What `work` makes of the database that is there; it may have no tables. Raises OperatorError."""

    async def look_and_work(database: Database) -> T:
        _check_is_there(database, settings)
        return await work(database)

    return asyncio.run(_with_database(settings, look_and_work))


def with_new_database(settings: Settings, work: Callable[[Database], Coroutine[Any, Any, T]]) -> T:
    """The same, and where there is none, one is made."""

    async def create_and_work(database: Database) -> T:
        database.create()
        return await work(database)

    return asyncio.run(_with_database(settings, create_and_work))


async def _with_database(
    settings: Settings, work: Callable[[Database], Coroutine[Any, Any, T]], unknown: str = ""
) -> T:
    database = Database(url_of(settings.data_dir, _clear(settings.database_url)))
    try:
        return await work(database)
    except OSError as error:
        where = database.name
        raise OperatorError(f"Cannot use {where} ({error.strerror}): choose another folder with --data-dir.") from error
    except ApiError as error:
        raise _plain(error, unknown) from error
    finally:
        await database.aclose()


def _check_is_there(database: Database, settings: Settings) -> None:
    if not database.is_there:  # to connect would make it
        raise _nothing_in(settings)


def _nothing_in(settings: Settings) -> OperatorError:
    return OperatorError(f"There is nothing in {settings.data_dir} yet: start `antiphon serve` first.")


def _plain(error: ApiError, unknown: str) -> OperatorError:
    if error.kind is Kind.OVERLOADED:  # the log goes to the terminal
        return OperatorError("The database cannot be used: the error above says why.")
    return OperatorError(f"{error.message} {unknown if error.kind is Kind.NOT_FOUND else ''}".rstrip())


def _clear(value: Any) -> str | None:
    return value.get_secret_value() if value else None
