"""Bounds on numbers, digit by digit."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from antiphon.turn.schema import numbers
from antiphon.turn.schema.numbers import Bounds, bounds_of, integer_of, number_of
from tests.unit.turn.schema.language import holds

wholes = st.integers(-(10**6), 10**6) | st.integers(-(10**20), 10**20) | st.integers(-20, 20)


def has(found: numbers.NumberTree | None, text: str) -> bool:
    return found is not None and holds({"root": found.node, **numbers.SHARED}, text)


@settings(deadline=None)
@given(wholes | st.none(), wholes | st.none(), wholes, st.integers(-1, 1), st.booleans())
def test_an_integer_is_held_to_its_bounds(low: int | None, high: int | None, value: int, step: int, is_out: bool):
    near = [bound + step for bound in (low, high) if bound is not None]
    bounds = Bounds(low, high, is_low_out=is_out, is_high_out=is_out)
    found = integer_of(bounds)
    for number in [value, *near]:
        is_above = low is None or number > low or (number == low and not is_out)
        is_below = high is None or number < high or (number == high and not is_out)
        if found is None or found.is_exact:
            assert not has(found, str(number)) or (is_above and is_below)
        if abs(number) < 10**18 and is_above and is_below:
            assert has(found, str(number))


def test_no_integer_has_more_than_18_digits():
    assert has(integer_of(Bounds(None, None)), "9" * 18)
    assert not has(integer_of(Bounds(None, None)), "9" * 19)
    assert not has(integer_of(Bounds(1, None)), "9" * 19)
    assert not has(integer_of(Bounds(None, None)), "007")


@pytest.mark.parametrize(
    ("schema", "good", "bad", "is_exact"),
    [
        ({"minimum": 0, "maximum": 1}, "0 1 0.5 0.25", "1.5 -0.5 2 1.0 .5 0.", True),
        ({"minimum": 0}, "0 7.25 123456", "-1 -0", True),
        ({"minimum": 10, "maximum": 200}, "10 10.5 199.99 200", "9.9 200.1 1e3", True),
        ({"exclusiveMaximum": 5, "minimum": 0}, "0 4.99", "5 5.0", True),
        ({"exclusiveMinimum": 0}, "0.5 3", "-1", False),
        ({"minimum": 1.5, "maximum": 2.5}, "1.5 2.4", "0.9 3.1", False),
        ({"maximum": 5}, "-7.5 4 9", "", False),
        ({}, "1e5 -2.5E-3 0.0001", "1e 01 1e100 --1 0x1 NaN", True),
        ({"minimum": 10**30}, "", "1", True),
        ({"minimum": 1, "maximum": 10**30}, "1", "", False),
    ],
)
def test_a_number_is_held_to_whole_bounds(schema: dict[str, float], good: str, bad: str, is_exact: bool):
    found = number_of(bounds_of(schema))
    assert [text for text in good.split() if not has(found, text)] == []
    assert [text for text in bad.split() if has(found, text)] == []
    assert found is None or found.is_exact is is_exact
    assert all(json.loads(text) is not None for text in good.split())


def test_the_tighter_of_two_bounds_counts():
    assert bounds_of({"minimum": 3, "exclusiveMinimum": 2}) == Bounds(3, None)
    assert bounds_of({"minimum": 3, "exclusiveMinimum": 3}) == Bounds(3, None, is_low_out=True)
    assert bounds_of({"maximum": 3, "exclusiveMaximum": True}) == Bounds(None, 3, is_high_out=True)
    assert bounds_of({"minimum": "3", "maximum": True, "exclusiveMinimum": float("nan")}) == Bounds(None, None)


@pytest.mark.parametrize("bounds", [Bounds(3, 2), Bounds(2, 3, is_low_out=True, is_high_out=True), Bounds(0.2, 0.8)])
def test_bounds_with_no_integer_between_have_none(bounds: Bounds):
    assert integer_of(bounds) is None
