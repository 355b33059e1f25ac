"""The slots of llama.cpp's server: each prompt gets the one that has most of it, and no workspace another's tokens.

Decision 0028 tells why we choose, and not the server.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from typing import Any

from antiphon.core.clock import Clock, Timer
from antiphon.core.errors import ApiError
from antiphon.engines.choice import WORTH_MOVING, Choice, Keep, Slot, Wanted, choose, choose_in_place, free_of_worth
from antiphon.engines.http import Upstream, reading
from antiphon.engines.packed import TOKEN_BYTES, num_common, num_tokens, pack
from antiphon.engines.saved import Entry, SavedPrompts
from antiphon.turn.pieces import Piece, Progress, Wish

log = logging.getLogger("antiphon.engines")

_LIFETIMES_S: dict[Keep, float] = {"": 300.0, "5m": 300.0, "1h": 3600.0}
_TELL_S = 1.0
_TELL_PROGRESS_S = 5.0
_FIRST_GUESS_BYTES = 64 << 10
"""Of a token's state, until one was saved."""
_WORTH_WAITING = 1024
"""Tokens that a call has to compute for others, who begin alike, to wait for them."""


class Held:
    """A slot while it computes a prompt. `fields` go into the request."""

    def __init__(self, slot: Slot, totals: "Totals", clock: Clock, *, may_reuse: bool) -> None:
        self.slot = slot
        self._totals = totals
        self._clock = clock
        self.num_reused: int | None = None
        """Tokens of the prompt that there were, as the engine told first."""
        self._told_at = clock.monotonic()
        self.num_waiting = 0
        self.is_over = asyncio.Event()
        """Whether nobody need wait for its prompt any more."""
        self.fields: dict[str, Any] = {"id_slot": slot.number, "cache_prompt": may_reuse}

    @property
    def num_missing(self) -> int:
        """Tokens of the prompt that are still to be computed."""
        return num_tokens(self.slot.tokens) - self.slot.num_known

    def note(self, pieces: Sequence[Piece]) -> None:
        """How far the engine is."""
        slot = self.slot
        for piece in pieces:
            if piece.progress:
                self._count(piece.progress)
                slot.num_computed = max(slot.num_computed, piece.progress.num_done)
                self._tell(piece.progress)
            if piece.num_output or piece.stop:
                slot.num_computed = num_tokens(slot.tokens)
                slot.num_output = piece.num_output

    def told(self, pieces: list[Piece]) -> list[Piece]:
        """The same, where the prompt was computed by an earlier request: the engine found all of it in this one."""
        last = pieces[-1]
        if last.stop is None or self.num_reused is None:
            return pieces
        return [*pieces[:-1], last._replace(stop=last.stop._replace(num_cached=self.num_reused))]

    def _tell(self, progress: Progress) -> None:
        """A prompt that takes long is told of: it is no engine that hangs."""
        now = self._clock.monotonic()
        if now - self._told_at >= _TELL_PROGRESS_S:
            self._told_at = now
            log.info("slot %d has read %d of %d tokens", self.slot.number, progress.num_done, progress.num_total)

    def _count(self, progress: Progress) -> None:
        """The first word of a prompt tells what there was of it."""
        if self.num_reused is None:
            self.num_reused = progress.num_cached
            self._totals.num_calls += 1
            self._totals.num_prompt += progress.num_total
            self._totals.num_reused += progress.num_cached


@dataclass(slots=True)
class Totals:
    """Since the engine's start: calls, the tokens of their prompts, and those that were not computed again."""

    num_calls: int = 0
    num_prompt: int = 0
    num_reused: int = 0


class Slots:
    """`saved` is where prompts can be moved to; None where the server is somebody else's, and keeps what it likes."""

    def __init__(self, upstream: Upstream, clock: Clock, saved: SavedPrompts | None, num_slots: int) -> None:
        self._upstream = upstream
        self._clock = clock
        self._saved = saved
        self._slots = [Slot(number) for number in range(num_slots)]
        self._choosing = asyncio.Lock()
        self._freed = asyncio.Event()
        self._token_bytes = _FIRST_GUESS_BYTES
        self._salts: set[str] = set()
        self._ahead: list[Held] = []
        self._totals = Totals()
        self._timer: Timer | None = None

    @asynccontextmanager
    async def hold(self, tokens: Sequence[int | str], wish: Wish) -> AsyncGenerator[Held]:
        """A slot for the block, with as much of the prompt in it as there is anywhere, or will be soon."""
        now = self._clock.monotonic()
        held = await self._take(Wanted(pack(tokens), wish.salt, wish.session, now, wish.is_one_of_many), wish)
        try:
            yield held
        finally:
            self._let_go(held)
            self._free(held.slot)

    async def _take(self, wanted: Wanted, wish: Wish) -> Held:
        while True:
            async with self._choosing:
                ahead = self._ahead_of(wanted)
                if ahead is None:
                    return await self._take_now(wanted, wish)
            ahead.num_waiting += 1
            try:
                await ahead.is_over.wait()
            finally:
                ahead.num_waiting -= 1

    def _ahead_of(self, wanted: Wanted) -> Held | None:
        """Who computes at least half of what is missing of the prompt; None where to compute it beside them is faster.

        Two prompts that are computed at once take twice as long each.
        """
        if not self._ahead or self._saved is None:
            return None
        shares = [slot.shares(wanted.salt, wanted.tokens) for slot in self._slots if not slot.is_busy]
        had = max(self._saved.find(wanted.salt, wanted.tokens)[1], *shares, 0)
        missing = num_tokens(wanted.tokens) - had
        for held in self._ahead:
            common = num_common(held.slot.tokens, wanted.tokens) if held.slot.salt == wanted.salt else 0
            spared = common - had
            if spared >= max(WORTH_MOVING, missing / 2) and held.num_missing < missing + spared:
                return held
        return None

    async def _take_now(self, wanted: Wanted, wish: Wish) -> Held:
        choice = await self._choose(wanted)
        slot = choice.slot
        slot.is_busy = True
        try:
            num_there = await self._move(choice, wanted)
        except BaseException:
            self._free(slot)
            raise
        may_reuse = self._may_reuse(slot, wanted, num_there)
        self._begin(slot, wanted, wish, num_there if may_reuse else 0)
        held = Held(slot, self._totals, self._clock, may_reuse=may_reuse)
        if self.can_share(held, 0):
            self._ahead.append(held)
        return held

    def _let_go(self, held: Held) -> None:
        """Whoever waits for `held` goes on."""
        held.is_over.set()
        if held in self._ahead:
            self._ahead.remove(held)

    def can_share(self, held: Held, num_waiting: int) -> bool:
        """Whether other slots could be spared much by what this one is about to compute: that `num_waiting` are known
        to wait for, or whoever comes meanwhile."""
        is_much = held.num_missing >= (WORTH_MOVING if num_waiting else _WORTH_WAITING)
        return is_much and self._saved is not None and len(self._slots) > 1

    async def share(self, held: Held, num_waiting: int) -> None:
        """Save what is computed where somebody waits for it, and bring it into slots for `num_waiting` others before
        any of them begins: with replies under way each would wait for the engine's next step. To be called between two
        requests on the slot."""
        held.fields["cache_prompt"] = True
        if self._saved is not None and (num_waiting or held.num_waiting):
            await self._spread(self._saved, held.slot, num_waiting)
        self._let_go(held)

    async def _spread(self, saved: SavedPrompts, source: Slot, num_slots: int) -> None:
        async with self._choosing:
            if not saved.has(source, source.num_known):
                await self._save(saved, source)
        for _ in range(num_slots):
            async with self._choosing:  # for one at a time: a chat may come between
                entry = saved.find(source.salt or "", source.tokens)[0]
                free = free_of_worth(self._slots, source, self._clock.monotonic(), saved.has)
                if entry is None or not free:
                    return
                await self._restore(saved, free[0], entry)

    @property
    def num_unread(self) -> int:
        """Tokens of prompts that are being computed, and are still to do."""
        return sum(num_tokens(slot.tokens) - slot.num_known for slot in self._slots if slot.is_busy)

    async def _choose(self, wanted: Wanted) -> Choice:
        while all(slot.is_busy for slot in self._slots):
            self._freed.clear()
            await self._freed.wait()
        if self._saved is None:
            return choose_in_place(self._slots, wanted)
        return choose(self._slots, wanted, self._saved.find(wanted.salt, wanted.tokens)[1], self._saved.has)

    def _may_reuse(self, slot: Slot, wanted: Wanted, num_common: int) -> bool:
        """Whether the server may look at what the slot has. One with a cache of its own fills slots from that where
        they would lose more than half, whoever's it was."""
        self._salts.add(wanted.salt)
        if slot.salt != wanted.salt:
            return False
        has_own_cache = self._saved is None and len(self._salts) > 1
        return not has_own_cache or num_common > (slot.num_known + slot.num_output) * 0.6

    def _begin(self, slot: Slot, wanted: Wanted, wish: Wish, num_common: int) -> None:
        slot.salt, slot.session, slot.tokens = wanted.salt, wanted.session, wanted.tokens
        slot.num_computed, slot.num_output = num_common, 0
        slot.keep = wish.keep
        slot.keeps_until = wanted.now + _LIFETIMES_S[wish.keep]

    def _free(self, slot: Slot) -> None:
        slot.is_busy = False
        slot.used_at = self._clock.monotonic()
        self._freed.set()
        if self._saved and self._timer is None:
            self._timer = self._clock.call_later(_TELL_S, self._tell)

    def _tell(self) -> None:
        """Write what lies where, for `antiphon cache`."""
        self._timer = None
        if self._saved:
            now = self._clock.now() - self._clock.monotonic()
            rows = [_row(slot, now) for slot in self._slots if slot.salt is not None]
            self._saved.tell(asdict(self._totals) | {"slots": rows})

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()

    async def _move(self, choice: Choice, wanted: Wanted) -> int:
        """Save and bring in what was chosen; how many tokens of the prompt are in the slot."""
        saved, slot = self._saved, choice.slot
        if saved is None:
            return choice.num_common
        if choice.must_save:
            await self._save(saved, slot)
        if choice.source and not saved.has(choice.source, choice.num_common):
            await self._save(saved, choice.source)
        if choice.source or choice.is_restored:
            entry, num = saved.find(wanted.salt, wanted.tokens)
            if entry and num - slot.shares(wanted.salt, wanted.tokens) >= WORTH_MOVING:
                await self._restore(saved, slot, entry)
        return slot.shares(wanted.salt, wanted.tokens)

    async def save_idle(self, idle_s: float) -> None:
        """Save what nobody has used for so long, so that it outlives this process."""
        if self._saved is None:
            return
        for slot in self._slots:
            async with self._choosing:
                is_idle = not slot.is_busy and self._clock.monotonic() - slot.used_at >= idle_s
                if is_idle and slot.num_known >= WORTH_MOVING and not self._saved.has(slot, slot.num_known):
                    await self._save(self._saved, slot)

    async def _save(self, saved: SavedPrompts, slot: Slot) -> None:
        """Where it fails the prompt is computed again some day."""
        if slot.salt is None or not saved.make_room(slot.num_known * self._token_bytes):
            return
        whole, slot.tokens = slot.tokens, slot.tokens[: slot.num_known * TOKEN_BYTES]
        name = saved.name_for(slot)
        try:
            reply = await self._upstream.post_and_wait(f"/slots/{slot.number}?action=save", {"filename": name})
            with reading():
                num_bytes = int(reply["n_written"])
            saved.add(slot, name, num_bytes)
            self._token_bytes = -(-num_bytes // max(1, slot.num_known))
        except ApiError as error:
            log.warning("slot %d cannot be saved: %s", slot.number, error)
        finally:
            slot.tokens = whole

    async def _restore(self, saved: SavedPrompts, slot: Slot, entry: Entry) -> None:
        slot.salt, slot.tokens, slot.num_computed, slot.num_output = None, b"", 0, 0
        body = {"filename": entry.name + ".kv"}
        try:
            await self._upstream.post_and_wait(f"/slots/{slot.number}?action=restore", body)
        except ApiError as error:
            log.warning("a saved prompt cannot be brought in: %s", error)
            saved.drop(entry)
            return
        saved.use(entry)
        slot.salt, slot.tokens, slot.num_computed = entry.salt, entry.tokens, num_tokens(entry.tokens)
        slot.keep = entry.keep


def _row(slot: Slot, epoch: float) -> dict[str, Any]:
    return {
        "slot": slot.number,
        "salt": slot.salt,
        "num_tokens": slot.num_known,
        "keep": slot.keep,
        "used_at": epoch + slot.used_at,
        "is_busy": slot.is_busy,
    }
