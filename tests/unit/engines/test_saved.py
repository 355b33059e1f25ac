"""Saved prompts: whose they are, how long they stay, and what is left of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from antiphon.core.clock import ManualClock
from antiphon.core.errors import OperatorError
from antiphon.engines.choice import Keep, Slot
from antiphon.engines.packed import pack
from antiphon.engines.saved import SavedPrompts, read_entries

SIZE = 1000


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def opened(
    folder: Path, clock: ManualClock, budget: int = 10 * SIZE, model: str = "m", *, lasts: bool = True
) -> SavedPrompts:
    saved = SavedPrompts(folder / "kv", budget, clock, model=model, is_lasting=lasts)
    saved.open()
    return saved


def save(
    saved: SavedPrompts, clock: ManualClock, first: int, keep: Keep = "5m", salt: str = "w", size: int = 200
) -> str:
    """As the engine does it; the file's name."""
    lifetime_s = 3600.0 if keep == "1h" else 300.0
    packed = pack(range(first, first + size))
    slot = Slot(0, salt, tokens=packed, num_computed=size, keep=keep, keeps_until=clock.monotonic() + lifetime_s)
    name = saved.name_for(slot)
    assert saved.make_room(SIZE)
    (saved.folder / name).write_bytes(b"x" * SIZE)
    saved.add(slot, name, SIZE)
    return name


def firsts(saved: SavedPrompts) -> list[int]:
    return sorted(int.from_bytes(entry.tokens[:4], "little") for entry in saved._entries.values())


def test_only_its_own_workspace_finds_an_entry(tmp_path: Path, clock: ManualClock):
    saved = opened(tmp_path, clock)
    save(saved, clock, 0)
    assert saved.find("w", pack(range(300)))[1] == 200
    assert saved.find("other", pack(range(300))) == (None, 0)


def test_within_the_budget_what_was_used_last_stays(tmp_path: Path, clock: ManualClock):
    saved = opened(tmp_path, clock, budget=3 * SIZE)
    for first in (1000, 2000, 3000):
        save(saved, clock, first)
        clock.advance(1)
    entry, _ = saved.find("w", pack(range(1000, 1200)))
    assert entry
    saved.use(entry)
    save(saved, clock, 4000)
    assert firsts(saved) == [1000, 3000, 4000]
    assert len(list(saved.folder.glob("*.kv"))) == 3


def test_an_hour_outlives_minutes(tmp_path: Path, clock: ManualClock):
    saved = opened(tmp_path, clock, budget=2 * SIZE)
    save(saved, clock, 1000, "1h")
    for first in (2000, 3000):
        clock.advance(1)
        save(saved, clock, first)
    assert firsts(saved) == [1000, 3000]
    clock.advance(3600)
    save(saved, clock, 4000)
    assert firsts(saved) == [3000, 4000]


def test_what_is_larger_than_the_budget_is_not_saved(tmp_path: Path, clock: ManualClock):
    saved = opened(tmp_path, clock, budget=3 * SIZE)
    save(saved, clock, 1000)
    assert not saved.make_room(4 * SIZE)
    assert firsts(saved) == [1000]


def test_a_longer_prompt_takes_the_place_of_its_beginning(tmp_path: Path, clock: ManualClock):
    saved = opened(tmp_path, clock)
    save(saved, clock, 0, "1h")
    entry, _ = saved.find("w", pack(range(300)))
    assert entry
    saved.use(entry)
    save(saved, clock, 0, "5m", size=300)
    (entry,) = saved._entries.values()
    assert (len(entry.tokens) // 4, entry.keep, entry.num_hits) == (300, "1h", 1)


def test_a_restart_finds_what_there_was(tmp_path: Path, clock: ManualClock):
    saved = opened(tmp_path, clock)
    save(saved, clock, 1000)
    saved.close()
    again = opened(tmp_path, clock)
    assert firsts(again) == [1000]
    assert again.find("w", pack(range(1000, 1200)))[1] == 200


def test_after_a_day_without_a_use_it_is_gone(tmp_path: Path, clock: ManualClock):
    saved = opened(tmp_path, clock)
    save(saved, clock, 1000)
    saved.close()
    clock.advance(86_401)
    assert firsts(opened(tmp_path, clock)) == []
    assert not list((tmp_path / "kv").glob("*.kv"))


@pytest.mark.parametrize("damage", ["other model", "no record", "cut state", "broken record"])
def test_what_cannot_be_trusted_is_thrown_away(tmp_path: Path, clock: ManualClock, damage: str):
    saved = opened(tmp_path, clock)
    name = save(saved, clock, 1000)
    saved.close()
    state = saved.folder / name
    if damage == "no record":
        state.with_suffix(".json").unlink()
    if damage == "cut state":
        state.write_bytes(b"x" * (SIZE - 1))
    if damage == "broken record":
        state.with_suffix(".json").write_bytes(b"{")
    again = opened(tmp_path, clock, model="n" if damage == "other model" else "m")
    assert firsts(again) == []
    assert not list(again.folder.glob("*.kv"))


def test_what_lies_in_memory_goes_with_the_server(tmp_path: Path, clock: ManualClock):
    saved = opened(tmp_path, clock, lasts=False)
    save(saved, clock, 1000)
    saved.close()
    assert not saved.folder.exists()


def test_two_servers_do_not_share_a_folder(tmp_path: Path, clock: ManualClock):
    saved = opened(tmp_path, clock)
    with pytest.raises(OperatorError, match="Another server uses"):
        opened(tmp_path, clock)
    saved.close()


def test_the_entries_are_readable_while_the_server_runs(tmp_path: Path, clock: ManualClock):
    saved = opened(tmp_path, clock)
    save(saved, clock, 1000)
    (entry,) = read_entries(saved.folder)
    assert (entry.salt, len(entry.tokens) // 4, entry.num_bytes) == ("w", 200, SIZE)
