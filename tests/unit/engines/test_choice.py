"""Which slot computes a prompt, case by case."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.engines.choice import Keep, Slot, Wanted, choose, choose_in_place, free_of_worth
from antiphon.engines.packed import num_common, pack

NOW = 1000.0


def tokens(*runs: tuple[int, int]) -> bytes:
    """Runs of (the first token, how many)."""
    return pack([first + i for first, size in runs for i in range(size)])


SYSTEM = (0, 500)


def slot(
    number: int, packed: bytes = b"", used_at: float = 0.0, keep: Keep = "5m", salt: str = "w", **more: object
) -> Slot:
    known = {"num_computed": len(packed) // 4, "keeps_until": NOW + 100} | more
    return Slot(number, salt if packed else None, tokens=packed, used_at=used_at, keep=keep, **known)  # type: ignore[arg-type]


def wanted(packed: bytes, salt: str = "w", session: str = "") -> Wanted:
    return Wanted(packed, salt, session, NOW)


def nothing_saved(slot: Slot, num: int) -> bool:
    return False


def test_what_many_begin_with_is_saved_before_the_slot_goes_on():
    """They may differ by a word at the end, no more than a conversation does that goes on: the others need a copy."""
    slots = [slot(0, tokens(SYSTEM, (2000, 7))), slot(1)]
    follower = wanted(tokens(SYSTEM, (3000, 7)))
    assert choose(slots, follower, 0, nothing_saved) == (slots[0], 500, False, None, False)
    assert choose(slots, follower._replace(is_one_of_many=True), 0, nothing_saved) == (slots[0], 500, True, None, False)


def test_what_others_wait_for_goes_where_nothing_is_lost():
    source = slot(0, tokens(SYSTEM), is_busy=True)
    has_it, busy = slot(1, tokens(SYSTEM, (2000, 7))), slot(2, is_busy=True)
    unsaved, saved = slot(3, tokens((9000, 500))), slot(4, tokens((7000, 500)))
    theirs, little, unused = slot(5, tokens(SYSTEM), salt="x"), slot(6, tokens((5000, 20))), slot(7)
    slots = [source, has_it, busy, unsaved, saved, theirs, little, unused]
    free = free_of_worth(slots, source, NOW, lambda slot, num: slot is saved and num == 500)
    assert free == [unused, saved, little]


def test_a_conversation_goes_on_where_it_was():
    slots = [slot(0, tokens((9000, 500))), slot(1, tokens(SYSTEM)), slot(2)]
    choice = choose(slots, wanted(tokens(SYSTEM, (2000, 50))), 0, nothing_saved)
    assert (choice.slot.number, choice.num_common, choice.must_save, choice.source) == (1, 500, False, None)


def test_another_workspace_s_slot_has_nothing():
    slots = [slot(0, tokens(SYSTEM), salt="theirs"), slot(1)]
    choice = choose(slots, wanted(tokens(SYSTEM)), 0, nothing_saved)
    assert (choice.slot.number, choice.num_common) == (1, 0)


def test_what_begins_like_a_conversation_takes_a_copy_and_leaves_it_in_peace():
    slots = [slot(0, tokens(SYSTEM, (1000, 400)), used_at=5), slot(1)]
    choice = choose(slots, wanted(tokens(SYSTEM, (2000, 50))), 0, nothing_saved)
    assert (choice.slot.number, choice.num_common, choice.source) == (1, 500, slots[0])


@pytest.mark.parametrize(("session", "number", "num_common"), [("claude", 0, 20), ("another", 1, 0), ("", 1, 0)])
def test_a_sessions_own_short_call_stays_in_one_slot(session: str, number: int, num_common: int):
    """One title after another: they hardly go on, and each would take a slot from a conversation."""
    slots = [slot(0, tokens((0, 20), (1000, 30)), session="claude"), slot(1)]
    choice = choose(slots, wanted(tokens((0, 20), (2000, 30)), session=session), 0, nothing_saved)
    assert (choice.slot.number, choice.num_common) == (number, num_common)


def test_a_saved_beginning_is_brought_in_rather_than_computed():
    choice = choose([slot(0), slot(1)], wanted(tokens(SYSTEM)), 450, nothing_saved)
    assert (choice.num_common, choice.is_restored) == (450, True)


def test_where_a_short_end_differs_the_slot_is_taken_and_its_beginning_saved_once():
    slots = [slot(0, tokens(SYSTEM, (1000, 60))), slot(1)]
    asked = wanted(tokens(SYSTEM, (2000, 50)))
    choice = choose(slots, asked, 0, nothing_saved)
    assert (choice.slot.number, choice.num_common, choice.must_save) == (0, 500, True)
    assert not choose(slots, asked, 500, lambda _, num: num <= 500).must_save


def test_a_side_call_takes_the_slot_that_is_worth_least_and_saves_what_was_in_it():
    slots = [slot(0, tokens(SYSTEM), used_at=9, keep=""), slot(1, tokens((5000, 500)), used_at=1)]
    choice = choose(slots, wanted(tokens((9000, 50))), 0, nothing_saved)
    assert (choice.slot.number, choice.num_common, choice.must_save) == (0, 0, True)


@pytest.mark.parametrize(
    ("keep", "keeps_until", "victim"), [("1h", NOW + 1, 0), ("1h", NOW - 1, 1), ("5m", NOW + 1, 1)]
)
def test_an_hour_outlives_minutes_until_it_is_over(keep: Keep, keeps_until: float, victim: int):
    minutes, other = slot(0, tokens(SYSTEM), used_at=9), slot(1, tokens((5000, 500)), 1, keep, keeps_until=keeps_until)
    assert choose([minutes, other], wanted(tokens((9000, 50))), 0, nothing_saved).slot.number == victim


def test_of_slots_that_are_alike_the_session_s_own_is_taken():
    slots = [slot(0, tokens(SYSTEM), used_at=9, session="b"), slot(1, tokens(SYSTEM), used_at=1, session="a")]
    assert choose(slots, wanted(tokens(SYSTEM), session="a"), 0, nothing_saved).slot.number == 1


def test_a_prompt_that_was_given_up_half_way_goes_on_there():
    slots = [slot(0), slot(1, tokens(SYSTEM), num_computed=200)]
    choice = choose(slots, wanted(tokens(SYSTEM)), 0, nothing_saved)
    assert (choice.slot.number, choice.num_common) == (1, 200)


def test_a_prompt_that_was_given_up_before_the_engine_told_of_it_goes_on_there_too():
    slots = [slot(0), slot(1, tokens(SYSTEM), num_computed=0, used_at=9)]
    assert choose(slots, wanted(tokens(SYSTEM)), 0, nothing_saved).slot.number == 1
    assert choose_in_place(slots, wanted(tokens(SYSTEM))).slot.number == 1
    assert choose(slots, wanted(tokens(SYSTEM)), 450, nothing_saved).is_restored
    assert choose(slots, wanted(tokens(SYSTEM), "theirs"), 0, nothing_saved).slot.number == 0


def test_a_busy_slot_is_never_chosen():
    slots = [slot(0, tokens(SYSTEM), is_busy=True), slot(1)]
    assert choose(slots, wanted(tokens(SYSTEM)), 0, nothing_saved).slot.number == 1
    assert choose_in_place(slots, wanted(tokens(SYSTEM))).slot.number == 1


def test_where_nothing_can_be_moved_the_slot_that_has_most_is_taken():
    slots = [slot(0, tokens(SYSTEM, (1000, 400))), slot(1)]
    assert choose_in_place(slots, wanted(tokens(SYSTEM, (2000, 50)))).num_common == 500
    assert choose_in_place(slots, wanted(tokens((2000, 50)))).slot.number == 1


@given(st.lists(st.integers(0, 1)), st.lists(st.integers(0, 1)))
def test_packed_tokens_have_in_common_what_tokens_have(a: list[int], b: list[int]):
    num = num_common(pack(a), pack(b))
    assert a[:num] == b[:num]
    assert a[num : num + 1] != b[num : num + 1] or not a[num : num + 1]


def test_a_picture_s_place_is_told_by_its_name():
    assert num_common(pack([1, "picture-a", 2]), pack([1, "picture-b", 2])) == 1
    assert num_common(pack([1, "picture-a", 2]), pack([1, "picture-a", 2])) == 3
