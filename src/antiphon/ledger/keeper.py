"""From the journal into the database: many calls at once, each of them once, and none lost on the way."""

import asyncio
import logging
from collections import deque
from pathlib import Path

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from antiphon.core.clock import Clock, Timer, sleep
from antiphon.core.errors import ApiError, OperatorError, overloaded
from antiphon.ledger import store
from antiphon.ledger.journal import Abandoned, Journal, abandoned
from antiphon.ledger.price import Prices
from antiphon.ledger.record import End, Entry, Pages, Start, end_line, note_line, read_lines, start_line
from antiphon.store.db import Database

log = logging.getLogger("antiphon.ledger")

LINGER_S = 1.0
NUM_TOGETHER = 1024
_MAX_WAITING = 4_096
"""Calls held in memory while the database is away; the others wait in the journal."""
_RENEW_BYTES = 1024 * 1024
_RETRY_S = (0.1, 5.0)


class Keeper:
    """Calls are opened and closed without a wait; `run` brings them into the database."""

    def __init__(self, database: Database, folder: Path, prices: Prices, clock: Clock) -> None:
        self.clock = clock
        self.prices = prices
        self._database = database
        self._folder = folder
        self._journal: Journal
        self._open: dict[str, bytes] = {}
        self._waiting: list[Entry] = []
        self._unwritten: dict[str, bytes] = {}
        self._sealed: deque[Path] = deque()
        self._committing = asyncio.Lock()
        self._due = asyncio.Event()
        self._timer: Timer | None = None
        self.num_unwritten = 0
        """Ends that the journal's disk did not take at once."""

    @property
    def num_pending(self) -> int:
        """Calls that have ended and are not in the database. Of those left to the disk, no fewer than are there."""
        return len(self._waiting) + _MAX_WAITING * len(self._sealed)

    def begin_journal(self) -> None:
        """Needs no database. Raises OperatorError."""
        try:
            self._journal = Journal(self._folder)
        except OSError as error:
            raise OperatorError(
                f"Cannot use the journal {self._folder} ({error.strerror}): give the server's user the right to it."
            ) from error

    async def open(self) -> None:
        """Take up what dead processes have left; what cannot be read is left to the next start.

        Raises OperatorError if no journal can be begun, where that has not been done yet.
        """
        if not hasattr(self, "_journal"):
            self.begin_journal()
        try:
            for dead in abandoned(self._folder):
                await self._try_to_take_up(dead)
        except OSError as error:
            log.error("the journals in %s are left to the next start: %s", self._folder, error)

    async def _try_to_take_up(self, dead: Abandoned) -> None:
        try:
            await self._take_up(dead)
        except (ApiError, OSError) as error:
            if isinstance(error, OSError):  # the other is told by the database
                log.error("a piece of the journal cannot be read: %s", error)
            log.warning("the journal %s is left to the next start", dead.home)
            dead.release()

    async def _take_up(self, dead: Abandoned) -> None:
        """Only the last piece knows which calls were open when the process died."""
        pages, unreadable = Pages([], [], 0), None
        for path in dead.pieces:
            try:
                pages = await self._commit_piece(path)
            except OSError as error:
                unreadable = error  # what the others hold is charged all the same
        if unreadable:
            raise unreadable
        cut = [call.cut(self.prices) for call in pages.open]
        await self._commit_all(cut)
        dead.remove()
        if cut:
            log.warning("%d calls were cut when their server died", len(cut))

    def begin(self, start: Start) -> None:
        """Write down that a call's engine starts. Raises 529 if that cannot be done."""
        line = start_line(start)
        try:
            self._journal.write(line)
        except OSError as error:
            log.error("the journal %s takes no call (%s): make room on its disk", self._folder, error)
            raise overloaded() from error
        self._open[start.message_id] = line

    def note(self, message_id: str, num_output: int) -> None:
        """Write down how far a call has come: what it is charged if the server dies under it."""
        line = note_line(message_id, num_output, self.clock.now())
        try:
            self._journal.write(line)
        except OSError:
            return  # nothing but the charge of a cut call depends on it
        self._open[message_id] = self._open[message_id].partition(b"\n")[0] + b"\n" + line

    def end(self, start: Start, end: End) -> None:
        """Write down that a call is over. It never fails: what the disk does not take waits in memory."""
        line = end_line(start.message_id, end)
        try:
            self._journal.write(line)
            del self._open[start.message_id]
        except OSError as error:
            self._unwritten[start.message_id] = line
            self.num_unwritten += 1
            log.error("the journal %s did not take the end of a call (%s): make room on its disk", self._folder, error)
        self._waiting.append(Entry(start, end))
        if len(self._waiting) >= NUM_TOGETHER:
            self._due.set()
        elif not self._timer:
            self._timer = self.clock.call_later(LINGER_S, self._ring)

    def close(self, entry: Entry) -> None:
        """The same for a call that its owner has brought into the database already."""
        message_id = entry.start.message_id
        try:
            self._journal.write(end_line(message_id, entry.end))
        except OSError:
            return  # whoever takes the journal up finds the call in the database
        self._open.pop(message_id, None)

    def _ring(self) -> None:
        self._timer = None
        self._due.set()

    async def run(self) -> None:
        """Bring into the database what is due, until cancelled; ever more slowly while it is away."""
        least_s, most_s = _RETRY_S
        retry_s = least_s
        while True:
            await self._due.wait()
            self._due.clear()
            try:
                await self.flush()
                retry_s = least_s
            except (ApiError, OSError) as error:
                if isinstance(error, OSError):  # the other is told by the database
                    log.error("a piece of the journal cannot be read: %s", error)
                self._seal()
                await sleep(self.clock, retry_s)
                retry_s = min(retry_s * 2, most_s)
                self._due.set()

    async def flush(self) -> None:
        """Bring everything into the database that has ended by now. Raises 529 if the database is away, and OSError."""
        async with self._committing:
            self._write_again()
            while self._sealed:
                await self._commit_piece(self._sealed[0])
                self._sealed[0].unlink()
                self._sealed.popleft()
            num_left = len(self._waiting)
            while num_left:
                entries = self._waiting[: min(num_left, NUM_TOGETHER)]
                await self._commit(entries)
                del self._waiting[: len(entries)]
                num_left -= len(entries)
                self._forget(entries)
            self._renew()

    def _write_again(self) -> None:
        for message_id, line in list(self._unwritten.items()):
            try:
                self._journal.write(line)
            except OSError:
                return
            del self._unwritten[message_id], self._open[message_id]

    def _forget(self, entries: list[Entry]) -> None:
        """Their ends are safe: what the journal did not take need not be written again."""
        if self._unwritten:
            for entry in entries:
                if self._unwritten.pop(entry.start.message_id, None):
                    del self._open[entry.start.message_id]

    def _renew(self) -> None:
        """A piece that has grown long makes way for one of the calls that are not in the database yet."""
        if self._journal.size_bytes < _RENEW_BYTES:
            return
        waiting = [start_line(start) + end_line(start.message_id, end) for start, end in self._waiting]
        still_open = [lines for message_id, lines in self._open.items() if message_id not in self._unwritten]
        try:
            self._journal.renew(b"".join(still_open + waiting)).unlink()
        except OSError as error:
            log.warning("the journal %s cannot be begun anew (%s)", self._folder, error)
            return
        self._forget(self._waiting)

    def _seal(self) -> None:
        """The database is away: leave to the disk what is too much for memory."""
        if len(self._waiting) < _MAX_WAITING:
            return
        self._write_again()
        if self._unwritten:
            return
        try:
            self._sealed.append(self._journal.renew(b"".join(self._open.values())))
            self._waiting.clear()
        except OSError as error:
            log.warning("the journal %s cannot be begun anew (%s)", self._folder, error)

    async def _commit_piece(self, path: Path) -> Pages:
        pages = await asyncio.to_thread(_read, path)
        if pages.num_broken:
            log.error("%s has %d lines that cannot be read", path, pages.num_broken)
        await self._commit_all(pages.ended)
        return pages

    async def _commit_all(self, entries: list[Entry]) -> None:
        for first in range(0, len(entries), NUM_TOGETHER):
            await self._commit(entries[first : first + NUM_TOGETHER])

    async def _commit(self, entries: list[Entry]) -> None:
        """One transaction. What the database refuses must not hold up the others: it is logged, and left out."""
        try:
            async with self._database.write() as connection:
                await store.add_entries(connection, entries)
        except DBAPIError as error:
            if not _is_refusal(error):
                log.error("the ledger cannot be written: %s", error.orig)
                raise overloaded() from error
            if len(entries) == 1:
                log.error("the database refuses the call %s: %s", entries[0], error.orig)
                return
            for entry in entries:
                await self._commit([entry])

    async def spent(self, now_s: float) -> dict[str, int]:
        """What each organization, workspace and key has spent in `now_s`'s month (UTC), in nano-dollars, by its id.

        Calls of this process count up to the moment of the answer, those of others once they are in the database.
        """
        hours = store.hours_of_month(now_s)
        await self.flush()
        async with self._committing:
            async with self._database.read() as connection:
                spent = await store.spent_in(connection, hours)
            for entry in self._waiting:
                if entry.minute // store.MINUTES_PER_HOUR in hours:
                    for party in (getattr(entry.start, name) for name in store.PARTIES):
                        spent[party] = spent.get(party, 0) + entry.end.cost
            return spent

    async def aclose(self) -> None:
        """Bring the rest into the database; what it does not take stays in the journal, for the next start."""
        if not hasattr(self, "_journal"):
            return  # it was never opened
        if self._timer:
            self._timer.cancel()
        try:
            await self.flush()
        except (ApiError, OSError) as error:
            why = "the database is away" if isinstance(error, ApiError) else error
            log.warning("%d calls stay in the journal, until the next start: %s", len(self._waiting), why)
        try:
            self._journal.close(is_needed=bool(self._open or self._waiting or self._sealed))
        except OSError as error:
            log.warning("the journal %s cannot be taken away: %s", self._folder, error)


def _read(path: Path) -> Pages:
    """Raises OSError that names `path`, which the error of a read alone does not."""
    try:
        return read_lines(path.read_bytes())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _is_refusal(error: DBAPIError) -> bool:
    """Whether it is for the values of a row, and would be the same again (SQLSTATE's classes 22 and 23)."""
    state = str(getattr(error.orig, "sqlstate", None))
    return isinstance(error, DataError | IntegrityError) or state.startswith(("22", "23"))
