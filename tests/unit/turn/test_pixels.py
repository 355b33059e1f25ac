"""How large a picture a model takes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from antiphon.turn.pixels import MAX_SIDE, MAX_TOKENS, fitted, num_tokens

sides = st.integers(1, 8000)


@pytest.mark.parametrize(
    ("size", "fitting"),
    [
        ((1, 1), (1, 1)),
        ((1092, 1092), (1092, 1092)),
        ((1568, 784), (1568, 784)),
        ((8000, 8000), (1092, 1092)),
        ((3136, 1568), (1568, 784)),
        ((8000, 1), (1568, 1)),
    ],
)
def test_the_largest_size_that_fits(size: tuple[int, int], fitting: tuple[int, int]):
    assert fitted(*size) == fitting


@given(sides, sides)
def test_what_fits_stays_and_what_does_not_is_made_to_fit_in_its_shape(width: int, height: int):
    wide, high = fitted(width, height)
    assert max(wide, high) <= MAX_SIDE
    assert num_tokens(wide, high) <= MAX_TOKENS
    assert fitted(wide, high) == (wide, high)
    scale = max(wide, high) / max(width, height)
    assert abs(wide - width * scale) <= 1
    assert abs(high - height * scale) <= 1


@given(sides, sides)
def test_little_room_is_left(width: int, height: int):
    wide, high = fitted(width, height)
    if (wide, high) != (width, height):
        assert max(wide, high) > MAX_SIDE - 3 or wide * high > 0.9 * MAX_TOKENS * 28 * 28 or min(wide, high) < 300


def test_patches_count_whole():
    assert [num_tokens(*size) for size in ((28, 28), (29, 28), (29, 29))] == [1, 2, 4]
