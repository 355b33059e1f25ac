"""Repairs: the table of the module, and that they never make a value worse."""

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from antiphon.turn.schema.check import problem_of
from antiphon.turn.schema.repair import repaired
from tests.unit.turn.schema.test_check import values
from tests.unit.turn.schema.test_grammar import schemas

INTEGER = {"type": "integer"}
OBJECT = {"type": "object", "properties": {"n": INTEGER, "s": {"type": "string"}}}


@pytest.mark.parametrize(
    ("schema", "value", "better"),
    [
        (INTEGER, "5", 5),
        (INTEGER, " -7 ", -7),
        ({"type": "number"}, "5.5", 5.5),
        ({"type": "boolean"}, "true", True),
        ({"type": "boolean"}, "False", False),
        ({"type": ["integer", "null"]}, "null", None),
        ({"type": ["integer", "null"]}, "None", None),
        ({"type": "array", "items": INTEGER}, "[1, 2]", [1, 2]),
        ({"type": "array", "items": INTEGER}, ["1", 2], [1, 2]),
        ({"type": "array", "prefixItems": [INTEGER], "items": {"type": "boolean"}}, ["1", "true"], [1, True]),
        (OBJECT, '{"n": "3"}', {"n": 3}),
        (OBJECT, {"n": "3", "s": 5}, {"n": 3, "s": "5"}),
        (OBJECT, {"n": None, "s": "x"}, {"s": "x"}),
        ({"type": "string"}, 5, "5"),
        ({"type": "string"}, True, "true"),
        ({"type": "string"}, 1.5, "1.5"),
        ({"enum": ["1", "2"]}, 1, "1"),
        ({"type": "integer", "enum": [1, 2]}, "2", 2),
        ({"anyOf": [INTEGER, {"type": "null"}]}, "5", 5),
        ({"anyOf": [OBJECT, {"type": "array"}]}, '{"s": "x"}', {"s": "x"}),
        ({"$ref": "#/$defs/a", "$defs": {"a": OBJECT}}, {"n": "1"}, {"n": 1}),
        ({"type": "object", "properties": {"o": OBJECT}}, {"o": {"n": "1"}}, {"o": {"n": 1}}),
        ({"type": "object", "additionalProperties": INTEGER}, {"x": "1"}, {"x": 1}),
        ({"type": "integer", "nullable": True}, "null", None),
    ],
)
def test_what_is_nearly_right_is_made_right(schema: Any, value: Any, better: Any):
    found = repaired(schema, value)
    assert found == better
    assert type(found) is type(better)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string"}, "5"),
        ({"type": ["string", "integer"]}, "5"),
        ({"type": ["string", "boolean"]}, 5),
        ({}, "5"),
        (INTEGER, "five"),
        (INTEGER, "5.5"),
        (INTEGER, ""),
        (INTEGER, "NaN"),
        ({"type": "number"}, "Infinity"),
        ({"type": "boolean"}, 1),
        ({"type": "array"}, 5),
        ({"type": "array"}, "a,b"),
        ({"type": "string"}, {"a": 1}),
        ({"type": "string"}, ["a"]),
        ({**OBJECT, "required": ["n"]}, {"n": None}),
        ({**OBJECT, "required": ["n"]}, {}),
        ({"enum": ["a", "b"]}, "A"),
        ({"type": "integer", "maximum": 3}, "5"),
        ({**OBJECT, "additionalProperties": False}, {"n": 1, "x": 2}),
        ({"properties": {"n": {"type": ["integer", "null"]}, "s": INTEGER}}, {"n": None, "s": "x"}),
    ],
)
def test_what_is_right_or_unclear_stays(schema: Any, value: Any):
    assert repaired(schema, value) == value


def test_the_value_that_was_given_is_not_changed():
    value = {"n": "3", "s": None}
    kept = copy.deepcopy(value)
    assert repaired(OBJECT, value) == {"n": 3}
    assert value == kept


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(schemas, values)
def test_a_repair_ends_in_a_valid_value_or_in_none(schema: Any, value: Any):
    better = repaired(schema, value)
    assert better == value or problem_of(schema, better) is None
