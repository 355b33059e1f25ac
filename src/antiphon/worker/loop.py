"""The worker: it claims items, runs them, and gives back what it cannot finish.

Whatever dies, and whenever: an item's lease runs out and another worker takes it, and a result is only taken from
whoever holds the lease.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from antiphon.core.clock import Clock, sleep
from antiphon.core.errors import ApiError, Kind, internal
from antiphon.core.ids import new_id
from antiphon.core.tasks import TaskGroup
from antiphon.encode.jsonl import errored_line
from antiphon.engines.catalog import Catalog
from antiphon.features.batches import queue
from antiphon.features.batches.queue import Held, Outcome
from antiphon.features.messages.books import Background
from antiphon.features.messages.service import Messages
from antiphon.ledger.keeper import Keeper
from antiphon.store.db import Database
from antiphon.telemetry.metrics import Metrics
from antiphon.worker.care import Care
from antiphon.worker.item import Batch, Item, is_worth_another_try, perform
from antiphon.worker.prefixes import Prefixes
from antiphon.worker.turns import Turns, Waiting
from antiphon.worker.writer import Done, Return, Writer

log = logging.getLogger("antiphon.worker")

POLL_S = 1.0
_IDLE_POLL_S = 3.0
_CLEAR_EVERY_S = 5.0
_MAX_BLOCK = 64
_MAX_PENDING = 512
_ATTEMPT_DELAY_S = 1.0
_BACK_OFF_S = (1.0, 30.0)


class Running:
    """An item that is being run. `ending` is why it was ended from outside: the outcome, `away` or `lost`."""

    def __init__(self, item: Item, note_computed: Callable[[], None]) -> None:
        self.item = item
        self.ending: str | None = None
        self.background = Background(lambda: self.end("away"), note_computed)
        self.task: asyncio.Task[None]

    def end(self, ending: str) -> None:
        if self.ending is None:
            self.ending = ending
            self.task.cancel()


class Worker:
    """`wake` tells it that there is something to do. By itself it looks every second while there are batches, and every
    third for those that another process has taken on."""

    def __init__(
        self,
        database: Database,
        messages: Messages,
        keeper: Keeper,
        catalog: Catalog,
        clock: Clock,
        metrics: Metrics,
        *,
        lease_s: float,
        strict: bool,
    ) -> None:
        self.id = new_id("worker")
        self._database = database
        self._messages = messages
        self._keeper = keeper
        self._catalog = catalog
        self._clock = clock
        self._metrics = metrics
        self._lease_s = lease_s
        self._is_strict = strict
        self._care = Care(database, clock)
        self._writer = Writer(database, keeper, clock, self._note)
        self._tasks = TaskGroup()
        self._turns = Turns()
        self._prefixes = Prefixes()
        self._ready: list[Item] = []
        self._running: dict[Held, Running] = {}
        self._pauses: dict[str, tuple[float, float]] = {}
        """Batches whose engine was busy: until when they are left alone, and how long that is."""
        self._due = asyncio.Event()
        self._clear_at = self._looked_at = float("-inf")
        self.is_stopping = False
        self.has_batches = self._is_chat_elsewhere = False

    @property
    def num_running(self) -> int:
        return len(self._running)

    def wake(self) -> None:
        self._looked_at = self._clear_at = float("-inf")
        self._due.set()

    def start(self) -> None:
        self._tasks.spawn(self._writer.run(), "batch results")
        self._tasks.spawn(self._hold_on(), "batch leases")
        self._tasks.spawn(self._run(), "batches")

    async def _hold_on(self) -> None:
        while True:
            await sleep(self._clock, self._lease_s / 3)
            with suppress(ApiError, OSError):  # told by the database; what is lost meanwhile is seen at the next beat
                await self._beat()

    async def _run(self) -> None:
        while True:
            try:
                await self._step()
            except (ApiError, OSError):  # told by the database
                await sleep(self._clock, POLL_S)
            except Exception:
                log.exception("the worker goes on after an error of its own")
                await sleep(self._clock, POLL_S)
            await self._rest()

    async def _rest(self) -> None:
        timer = self._clock.call_later(POLL_S, self._due.set)
        try:
            await self._due.wait()
        finally:
            timer.cancel()
        self._due.clear()

    async def _step(self) -> None:
        now = self._clock.monotonic()
        if now >= self._looked_at + (POLL_S if self.has_batches else _IDLE_POLL_S):
            self._looked_at = now  # before the look: who is woken during it looks once more
            await self._look()
            if self.has_batches:
                await self._end_batches()
        if now >= self._clear_at:
            self._clear_at = now + _CLEAR_EVERY_S
            await self._care.clear()
        self._start_ready()
        while self._may_claim:
            if not await self._claim():
                break
            self._start_ready()

    async def _look(self) -> None:
        async with self._database.read() as connection:
            found = await queue.look(connection, self.id, self._clock.now())
        self.has_batches, self._is_chat_elsewhere = found

    @property
    def _may_start(self) -> bool:
        return not (self.is_stopping or self._is_chat_elsewhere)

    @property
    def _may_claim(self) -> bool:
        has_room = len(self._ready) < self._num_slots and self._writer.num_pending < _MAX_PENDING
        return self.has_batches and has_room and self._may_start

    @property
    def _num_slots(self) -> int:
        return sum(pool.num_slots for pool in {model.pool for model in self._catalog.models})

    async def _beat(self) -> None:
        """Hold on to what is ours, and let go of what is not any more."""
        ours = self._held()
        if not ours:
            return
        async with self._database.write() as connection:
            still = await queue.renew(connection, {held.lease for held in ours}, self._clock.now() + self._lease_s)
        lost = ours - still
        if lost:
            log.warning("the leases of %d items were lost: another worker has them", len(lost))
        self._ready = [item for item in self._ready if item.held not in lost]
        for held in lost & self._running.keys():
            self._running[held].end("lost")

    def _held(self) -> set[Held]:
        return {item.held for item in self._ready} | self._running.keys()

    async def _end_batches(self) -> None:
        for batch_id, kind in (await self._care.ending()).items():
            for running in list(self._running.values()):
                if running.item.batch.id == batch_id:
                    running.end(kind)
            for item in [item for item in self._ready if item.batch.id == batch_id]:
                self._ready.remove(item)
                self._finish(item, kind, None)
            num_ended = await self._care.end(batch_id, kind)
            self._metrics.count_batch_items(kind, num_ended)

    async def _claim(self) -> bool:
        """Take the next block; whether there was any."""
        async with self._database.read() as connection:
            rows = await queue.open_batches(connection)
        batches = {row.id: Batch.of(row) for row in rows if not self._is_paused(row.id)}
        waiting = [Waiting(batch.principal.scope.workspace_id, batch.id) for batch in batches.values()]
        self._turns.keep_only(waiting)
        while one := self._turns.next(waiting):
            self._turns.serve(one)
            if items := await self._claim_of(batches[one.batch_id]):
                self._ready += items
                return True
            waiting.remove(one)
        return False

    async def _claim_of(self, batch: Batch) -> list[Item]:
        now, lease = self._clock.now(), new_id("lease")
        limit = max(1, min(_MAX_BLOCK, 2 * self._num_slots))
        async with self._database.write() as connection:
            rows = await queue.claim(connection, batch.id, lease, limit, now, now + self._lease_s)
        return [
            Item(batch, Held(row.batch_id, row.place, row.lease), row.custom_id, row.request, row.num_attempts)
            for row in rows
        ]

    def _is_paused(self, batch_id: str) -> bool:
        return batch_id in self._pauses and self._pauses[batch_id][0] > self._clock.monotonic()

    def _start_ready(self) -> None:
        """Run what there is room for: but of prompts that begin alike the first one alone, until it is computed."""
        room = self._num_slots - len(self._running)
        runs = self._running.values()
        computing = {run.item.held.place: run for run in runs if not run.background.is_computed}
        waiting: list[Item] = []
        num_waiting: Counter[str] = Counter()
        for item in self._ready:
            ahead = self._prefixes.ahead_of(item.held.place, computing)
            if ahead is not None:
                num_waiting[ahead] += 1
            if room > 0 and self._may_start and ahead is None:
                computing[item.held.place] = self._start(item)
                room -= 1
            else:
                waiting.append(item)
        self._ready = waiting
        for place, num in num_waiting.items():
            computing[place].background.num_waiting = num

    def _start(self, item: Item) -> Running:
        running = self._running[item.held] = Running(item, lambda: self._note_computed(item))
        running.task = self._tasks.spawn(self._run_item(running), f"item {item.custom_id}")
        return running

    def _note_computed(self, item: Item) -> None:
        self._prefixes.note_computed(item.held.place)
        if self._running[item.held].background.num_waiting:
            self._due.set()

    async def _run_item(self, running: Running) -> None:
        item = running.item
        try:
            line = await perform(self._messages, item, running.background, strict=self._is_strict)
            self._succeed(running, line)
        except ApiError as error:
            self._fail(running, error)
        except asyncio.CancelledError:
            if running.ending is None:
                raise
            running.task.uncancel()
            self._leave(running, running.ending)
        except Exception:
            log.exception("item %s of %s failed", item.custom_id, item.batch.id)
            self._fail(running, internal())
        finally:
            if entry := running.background.entry:  # of a call that came to nothing
                self._keeper.close(entry.unbilled())
            del self._running[item.held]
            self._due.set()

    def _succeed(self, running: Running, line: str) -> None:
        self._pauses.pop(running.item.batch.id, None)
        self._finish(running.item, "succeeded", line, running)

    def _fail(self, running: Running, error: ApiError) -> None:
        item = running.item
        if not is_worth_another_try(error, item):
            self._finish(item, "errored", errored_line(item.custom_id, error), running)
            return
        is_busy = error.kind is Kind.OVERLOADED
        delay_s = self._pause(item.batch.id) if is_busy else _ATTEMPT_DELAY_S
        self._writer.add(Return(item.held, self._clock.now() + delay_s, 0 if is_busy else 1))

    def _pause(self, batch_id: str) -> float:
        """Leave a batch alone whose engine is busy, for longer each time."""
        now = self._clock.monotonic()
        until, last_s = self._pauses.get(batch_id, (now, 0.0))
        if until > now:
            return until - now
        delay_s = min(max(_BACK_OFF_S[0], 2 * last_s), _BACK_OFF_S[1])
        self._pauses[batch_id] = (now + delay_s, delay_s)
        return delay_s

    def _leave(self, running: Running, ending: str) -> None:
        if ending == "away":
            self._ready.insert(0, running.item)
        elif ending != "lost":
            self._finish(running.item, ending, None, running)

    def _finish(self, item: Item, kind: str, line: str | None, running: Running | None = None) -> None:
        """What comes after the end of its batch's time has expired, whatever it is."""
        entry = running.background.take_entry() if running else None
        if kind in ("succeeded", "errored") and self._clock.now() >= item.batch.expires_at:
            kind, line = "expired", None
        if entry and kind != "succeeded":
            entry = entry.unbilled()
        self._writer.add(Done(Outcome(item.held, item.custom_id, kind, line), entry))

    def _note(self, outcomes: Sequence[Outcome]) -> None:
        for kind in {outcome.kind for outcome in outcomes}:
            self._metrics.count_batch_items(kind, sum(outcome.kind == kind for outcome in outcomes))

    async def aclose(self) -> None:
        """Stop, and give back what is not finished."""
        self.is_stopping = True
        runs = list(self._running.values())
        for running in runs:
            running.end("away")
        await asyncio.gather(*(running.task for running in runs), return_exceptions=True)
        for item in self._ready:
            self._writer.add(Return(item.held, 0.0, 0))
        self._ready = []
        await self._tasks.aclose()
        try:
            await self._writer.flush()
        except (ApiError, OSError):
            log.warning("the database is away: what was begun is taken up again in %d s", self._lease_s)
