"""What a llama.cpp server is asked for each slot; one of our own, and one that is somebody else's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.errors import internal
from antiphon.engines.choice import WORTH_MOVING
from antiphon.engines.saved import SavedPrompts, read_slots
from antiphon.engines.slots import Slots
from antiphon.turn.pieces import Piece, Progress, Wish

LONG = list(range(1000, 1000 + 4 * WORTH_MOVING))
OTHER = list(range(5000, 5000 + 4 * WORTH_MOVING))


class Server:
    """Answers as llama.cpp does, and remembers what it was asked."""

    def __init__(self, folder: Path) -> None:
        self.asked: list[str] = []
        self.fails = False
        self._folder = folder

    async def post_and_wait(self, path: str, data: dict[str, Any]) -> Any:
        self.asked.append(path)
        if self.fails:
            raise internal()
        if path.endswith("save"):
            (self._folder / data["filename"]).write_bytes(b"x" * 100)
        return {"n_written": 100}


@pytest.fixture
def saved(tmp_path: Path) -> SavedPrompts:
    store = SavedPrompts(tmp_path, 1 << 30, ManualClock(), model="m", is_lasting=True)
    store.open()
    return store


def slots_of(server: Server, saved: SavedPrompts | None, num_slots: int, clock: ManualClock | None = None) -> Slots:
    return Slots(server, clock or ManualClock(), saved, num_slots)  # type: ignore[arg-type]


def computed(tokens: list[int]) -> list[Piece]:
    return [Piece(progress=Progress(len(tokens), len(tokens), 0))]


async def run(slots: Slots, tokens: list[int], salt: str = "a", **fields: Any) -> dict[str, Any]:
    """What the request says of its slot."""
    async with slots.hold(tokens, Wish(9, salt=salt, **fields)) as held:
        held.note(computed(tokens))
        return held.fields


async def test_a_slot_that_was_another_s_is_computed_anew(saved: SavedPrompts):
    slots = slots_of(Server(saved.folder), saved, 1)
    asked = [await run(slots, LONG[:50], salt) for salt in ("a", "a", "b", "a")]
    assert [fields["cache_prompt"] for fields in asked] == [False, True, False, False]


async def test_what_a_slot_held_is_saved_before_it_goes_and_brought_back(saved: SavedPrompts):
    server = Server(saved.folder)
    slots = slots_of(server, saved, 1)
    for tokens in (LONG, OTHER, LONG, LONG):
        fields = await run(slots, tokens)
    save, restore = "/slots/0?action=save", "/slots/0?action=restore"
    assert server.asked == [save, save, restore]
    assert fields["cache_prompt"]


async def test_what_others_wait_for_is_brought_to_so_many_of_them(saved: SavedPrompts):
    server = Server(saved.folder)
    slots = slots_of(server, saved, 4)
    async with slots.hold(LONG, Wish(9, salt="a")) as held:
        assert slots.can_share(held, 2)
        held.note(computed(LONG))
        await slots.share(held, 2)
        assert held.fields["cache_prompt"]
        others = await asyncio.gather(*[run(slots, LONG) for _ in range(2)])
    assert server.asked == ["/slots/0?action=save", "/slots/1?action=restore", "/slots/2?action=restore"]
    assert all(fields["cache_prompt"] for fields in others)


async def test_where_it_cannot_be_shared_it_is_tried_once(saved: SavedPrompts):
    server = Server(saved.folder)
    slots = slots_of(server, saved, 4)
    async with slots.hold(LONG, Wish(9, salt="a")) as held:
        held.note(computed(LONG))
        server.fails = True
        await slots.share(held, 3)
    assert server.asked == ["/slots/0?action=save"]


async def test_where_moving_fails_the_prompt_is_computed(saved: SavedPrompts):
    server = Server(saved.folder)
    slots = slots_of(server, saved, 1)
    await run(slots, LONG)
    await run(slots, OTHER)
    server.fails = True
    assert not (await run(slots, LONG))["cache_prompt"]
    assert saved.num_entries == 0


async def test_a_call_waits_where_all_slots_are_taken(saved: SavedPrompts):
    slots = slots_of(Server(saved.folder), saved, 2)
    async with slots.hold(LONG, Wish(9, salt="a")) as one:
        async with slots.hold(LONG, Wish(9, salt="a")) as two:
            third = asyncio.ensure_future(run(slots, LONG))
            await asyncio.sleep(0.05)
            assert not third.done()
        assert (await asyncio.wait_for(third, 5))["id_slot"] == two.fields["id_slot"]
    assert {one.fields["id_slot"], two.fields["id_slot"]} == {0, 1}


@pytest.fixture
def _little_is_worth_waiting(monkeypatch: pytest.MonkeyPatch) -> None:  # pyright: ignore[reportUnusedFunction]
    monkeypatch.setattr("antiphon.engines.slots._WORTH_WAITING", 2 * WORTH_MOVING)


@pytest.mark.usefixtures("_little_is_worth_waiting")
async def test_calls_that_begin_alike_and_come_at_once_wait_for_the_first(saved: SavedPrompts):
    server = Server(saved.folder)
    slots = slots_of(server, saved, 4)
    async with slots.hold(LONG, Wish(9, salt="a")) as held:
        others = [asyncio.ensure_future(run(slots, [*LONG, number])) for number in range(2)]
        await asyncio.sleep(0.05)
        assert not any(other.done() for other in others)
        assert slots.can_share(held, 0)
        held.note(computed(LONG))
        await slots.share(held, 0)
        fields = await asyncio.wait_for(asyncio.gather(*others), 5)
    assert server.asked[:2] == ["/slots/0?action=save", "/slots/1?action=restore"]
    assert all(one["cache_prompt"] for one in fields)


@pytest.mark.usefixtures("_little_is_worth_waiting")
async def test_what_nobody_waits_for_is_not_saved(saved: SavedPrompts):
    server = Server(saved.folder)
    slots = slots_of(server, saved, 4)
    async with slots.hold(LONG, Wish(9, salt="a")) as held:
        held.note(computed(LONG))
        await slots.share(held, 0)
        assert held.fields["cache_prompt"]
    assert server.asked == []


@pytest.mark.usefixtures("_little_is_worth_waiting")
@pytest.mark.parametrize(
    ("tokens", "salt"),
    [(LONG, "b"), (OTHER, "a"), (LONG[:WORTH_MOVING] + OTHER[: 2 * WORTH_MOVING], "a"), (LONG[:WORTH_MOVING], "a")],
    ids=["another workspace", "nothing in common", "less than half", "too short"],
)
async def test_who_is_spared_little_does_not_wait(saved: SavedPrompts, tokens: list[int], salt: str):
    slots = slots_of(Server(saved.folder), saved, 4)
    async with slots.hold(LONG, Wish(9, salt="a")):
        await asyncio.wait_for(run(slots, tokens, salt), 5)


@pytest.mark.usefixtures("_little_is_worth_waiting")
async def test_where_the_first_is_given_up_one_of_the_others_is_the_next(saved: SavedPrompts):
    slots = slots_of(Server(saved.folder), saved, 4)
    async with slots.hold(LONG, Wish(9, salt="a")):
        others = [asyncio.ensure_future(run(slots, [*LONG, number])) for number in range(3)]
        await asyncio.sleep(0.05)
        others[0].cancel()
        assert not any(other.done() for other in others[1:])
    await asyncio.wait_for(asyncio.gather(*others[1:]), 5)


async def test_a_long_prompt_is_told_of_while_it_is_read(saved: SavedPrompts, caplog: pytest.LogCaptureFixture):
    clock = ManualClock()
    slots = slots_of(Server(saved.folder), saved, 1, clock)
    with caplog.at_level("INFO"):
        async with slots.hold(LONG, Wish(9, salt="a")) as held:
            unread = [slots.num_unread]
            for num_done in (100, 200):
                clock.advance(4)
                held.note([Piece(progress=Progress(num_done, len(LONG), 0))])
                unread.append(slots.num_unread)
    assert unread == [len(LONG), len(LONG) - 100, len(LONG) - 200]
    assert [record.getMessage() for record in caplog.records] == [f"slot 0 has read 200 of {len(LONG)} tokens"]


async def test_what_lies_in_the_slots_can_be_looked_up(saved: SavedPrompts):
    clock = ManualClock()
    slots = slots_of(Server(saved.folder), saved, 2, clock)
    for _ in range(2):
        await run(slots, LONG, keep="1h")
    clock.advance(2)
    told = read_slots(saved.folder)
    assert told
    assert (told["num_calls"], told["num_prompt"], told["num_reused"]) == (2, 2 * len(LONG), 0)
    assert [(slot["salt"], slot["num_tokens"], slot["keep"]) for slot in told["slots"]] == [("a", len(LONG), "1h")]


async def test_a_server_with_a_cache_of_its_own_may_reuse_only_what_is_surely_ours(tmp_path: Path):
    slots = slots_of(Server(tmp_path), None, 1)
    alone = [await run(slots, tokens) for tokens in (LONG, LONG[:300], LONG[:60] + OTHER)]
    assert [fields["cache_prompt"] for fields in alone] == [False, True, True]
    await run(slots, OTHER, "b")
    shared = [await run(slots, tokens, "b") for tokens in (OTHER, OTHER[:60] + LONG)]
    assert [fields["cache_prompt"] for fields in shared] == [True, False]
