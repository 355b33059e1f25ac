"""Who chats elsewhere: servers tell the workers of other processes, which then begin nothing."""

from collections.abc import Callable
from contextlib import suppress

from antiphon.core.clock import Clock, sleep
from antiphon.core.errors import ApiError
from antiphon.engines.pool import QUIET_S
from antiphon.features.batches import queue
from antiphon.store.db import Database

_EVERY_S = 1.0


async def announce_chats(database: Database, clock: Clock, server: str, is_to_tell: Callable[[], bool]) -> None:
    """Until cancelled, as long as `is_to_tell` says so."""
    while True:
        await sleep(clock, _EVERY_S)
        if is_to_tell():
            with suppress(ApiError, OSError):  # told by the database
                async with database.write() as connection:
                    await queue.announce_chat(connection, server, clock.now() + _EVERY_S + QUIET_S)
