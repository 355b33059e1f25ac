"""Batches against a model of them: made, worked on, canceled, expired, archived and deleted in any order."""

from __future__ import annotations

import asyncio
import itertools
import json
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError
from antiphon.core.scope import Principal
from antiphon.features.batches import queue
from antiphon.features.batches.queue import Held, Outcome
from antiphon.features.batches.service import KEPT_S, LIFETIME_S, Author, Batches, describe
from antiphon.store.db import Database, url_of
from antiphon.store.directory import Directory
from antiphon.store.first import OperatorKeys, open_store
from antiphon.web.pages import Page
from antiphon.wire.versions import Version
from antiphon.worker.care import Care
from tests.fixtures.databases import SECRET
from tests.fixtures.world import ask

T = TypeVar("T")
LEASE_S = 12.0


class Known:
    """What the model knows of a batch."""

    def __init__(self, names: list[str], now: float) -> None:
        self.names = names
        self.made_at = now
        self.results: dict[str, str] = {}
        self.is_canceled = False
        self.is_archived = False

    @property
    def has_ended(self) -> bool:
        return len(self.results) == len(self.names)

    @property
    def state(self) -> str:
        return "ended" if self.has_ended else "canceling" if self.is_canceled else "in_progress"


class Claimed:
    """Items that a worker has, until when, and its names for them."""

    def __init__(self, batch_id: str, held: dict[str, Held], until: float) -> None:
        self.batch_id = batch_id
        self.held = held
        self.until = until


class Walk(RuleBasedStateMachine):
    batches = Bundle("batches")
    claims = Bundle("claims")

    @initialize()
    def open(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.numbers = itertools.count()
        self.folder = tempfile.TemporaryDirectory()
        self.clock = ManualClock()
        self.database = Database(url_of(Path(self.folder.name), None))
        self.do(open_store(self.database, SECRET, None, OperatorKeys(), self.clock))
        directory = Directory(self.database, SECRET.pepper, self.clock)
        self.do(directory.refresh())
        self.scope = directory.home
        self.service = Batches(self.database, self.clock, lambda: None)
        self.care = Care(self.database, self.clock)
        self.known: dict[str, Known] = {}
        self.owner: dict[tuple[str, str], Claimed] = {}
        """Who has an item, as far as the model knows."""

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def is_refused(self, work: Coroutine[Any, Any, object]) -> None:
        with pytest.raises(ApiError):
            self.do(work)

    def teardown(self) -> None:
        if hasattr(self, "database"):
            self.do(self.database.aclose())
            self.loop.close()
            self.folder.cleanup()

    @rule(target=batches, num=st.integers(1, 6))
    def create(self, num: int) -> str:
        names = [f"i{n}" for n in range(num)]

        async def body() -> AsyncIterator[bytes]:
            yield json.dumps({"requests": [{"custom_id": name, "params": ask()} for name in names]}).encode()

        author = Author(Principal("apikey_01its", self.scope), Version.V2026_10_21)
        batch_id = self.do(self.service.create(author, body())).id
        self.known[batch_id] = Known(names, self.clock.now())
        return batch_id

    @rule(target=claims, batch_id=batches, limit=st.integers(1, 4))
    def claim(self, batch_id: str, limit: int) -> Claimed:
        now = self.clock.now()

        async def take() -> dict[str, Held]:
            async with self.database.write() as connection:
                rows = await queue.claim(connection, batch_id, f"lease_{next(self.numbers)}", limit, now, now + LEASE_S)
            return {row.custom_id: Held(row.batch_id, row.place, row.lease) for row in rows}

        claimed = Claimed(batch_id, self.do(take()), now + LEASE_S)
        assert sorted(claimed.held) == sorted(self.free(batch_id)[:limit])
        for name in claimed.held:
            self.owner[batch_id, name] = claimed
        return claimed

    def free(self, batch_id: str) -> list[str]:
        """What a worker would be given now, in its order."""
        known = self.known.get(batch_id)
        if known is None or known.state != "in_progress" or self.clock.now() >= known.made_at + LIFETIME_S:
            return []
        return [name for name in known.names if self.is_left(batch_id, name)]

    def is_left(self, batch_id: str, name: str) -> bool:
        owner = self.owner.get((batch_id, name))
        return name not in self.known[batch_id].results and (owner is None or owner.until <= self.clock.now())

    @rule(claimed=consumes(claims), kinds=st.lists(st.sampled_from(["succeeded", "errored"]), min_size=4, max_size=4))
    def finish(self, claimed: Claimed, kinds: list[str]) -> None:
        outcomes = [
            Outcome(held, name, kind, orjson.dumps({"custom_id": name, "result": {"type": kind}}).decode() + "\n")
            for (name, held), kind in zip(claimed.held.items(), kinds, strict=False)
        ]

        async def write() -> set[Held]:
            async with self.database.write() as connection:
                return await queue.finish(connection, outcomes, self.clock.now())

        done = self.do(write()) if outcomes else set[Held]()
        for outcome in outcomes:
            is_its = self.owner.get((claimed.batch_id, outcome.custom_id)) is claimed
            known = self.known.get(claimed.batch_id)
            assert (outcome.held in done) == bool(is_its and known and outcome.custom_id not in known.results)
            if known and outcome.held in done:
                known.results[outcome.custom_id] = outcome.kind

    @rule(claimed=consumes(claims))
    def give_back(self, claimed: Claimed) -> None:
        async def write() -> None:
            async with self.database.write() as connection:
                await queue.give_back(connection, list(claimed.held.values()), 0.0)

        if claimed.held:
            self.do(write())
        for name in claimed.held:
            if self.owner.get((claimed.batch_id, name)) is claimed:
                del self.owner[claimed.batch_id, name]

    @rule(batch_id=batches)
    def cancel(self, batch_id: str) -> None:
        known = self.known.get(batch_id)
        if known is None:
            self.is_refused(self.service.cancel(self.scope, batch_id))
            return
        batch = self.do(self.service.cancel(self.scope, batch_id))
        known.is_canceled = known.is_canceled or not known.has_ended
        assert batch.state == known.state
        assert (batch.cancel_initiated_at is not None) == known.is_canceled

    @rule(batch_id=batches)
    def delete(self, batch_id: str) -> None:
        known = self.known.get(batch_id)
        if known is None or not known.has_ended:
            self.is_refused(self.service.delete(self.scope, batch_id))
            return
        self.do(self.service.delete(self.scope, batch_id))
        del self.known[batch_id]

    @rule(seconds=st.sampled_from([1.0, LEASE_S, 3600.0, LIFETIME_S / 2, LIFETIME_S, KEPT_S]))
    def wait(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule()
    def look_after(self) -> None:
        """What workers do every second, and every five."""
        now = self.clock.now()
        for batch_id, known in self.known.items():
            is_late = now >= known.made_at + LIFETIME_S
            if not known.has_ended and (known.is_canceled or is_late):
                for name in known.names:
                    if self.is_left(batch_id, name):
                        known.results[name] = "expired" if is_late else "canceled"
            if known.has_ended and now >= known.made_at + KEPT_S:
                known.is_archived = True

        async def work() -> None:
            for batch_id, kind in (await self.care.ending()).items():
                await self.care.end(batch_id, kind)
            await self.care.clear()

        self.do(work())

    @rule(batch_id=batches)
    def results(self, batch_id: str) -> None:
        async def read() -> dict[str, str]:
            lines = [line async for block in self.service.results(self.scope, batch_id) for line in block.splitlines()]
            found = {line["custom_id"]: line["result"]["type"] for line in map(orjson.loads, lines)}
            assert len(found) == len(lines)
            return found

        known = self.known.get(batch_id)
        if known is None or not known.has_ended or known.is_archived:
            self.is_refused(read())
        else:
            assert self.do(read()) == known.results

    @invariant()
    def the_list_is_as_the_model_has_it(self) -> None:
        if not hasattr(self, "database"):
            return
        rows = self.do(self.service.list(self.scope, Page(None, None, 1000))).rows
        assert {row.id for row in rows} == self.known.keys()
        for row in rows:
            known, shown = self.known[row.id], describe(row, "http://here")
            assert shown["processing_status"] == known.state
            counts = Counter(known.results.values())
            left = len(known.names) - len(known.results)
            assert shown["request_counts"] == {
                "processing": left,
                **{kind: counts[kind] for kind in ("succeeded", "errored", "canceled", "expired")},
            }
            assert (shown["archived_at"] is not None) == known.is_archived
            assert (shown["results_url"] is not None) == (known.has_ended and not known.is_archived)
            assert (shown["ended_at"] is not None) == known.has_ended


CALM = [HealthCheck.too_slow, HealthCheck.filter_too_much]


def test_batches_are_what_a_model_of_them_says():
    walk = settings(max_examples=10, stateful_step_count=40, deadline=None, suppress_health_check=CALM)
    run_state_machine_as_test(Walk, settings=walk)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_batches_are_what_a_model_of_them_says_on_long_walks():
    walk = settings(max_examples=100, stateful_step_count=60, deadline=None, suppress_health_check=CALM)
    run_state_machine_as_test(Walk, settings=walk)
