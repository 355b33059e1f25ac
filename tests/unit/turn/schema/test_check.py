"""Values held against schemas: the library's verdict, and what must never go wrong around it."""

import time
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from antiphon.turn.schema.check import problem_of
from tests.corpus.schemas.corpus import Case, cases
from tests.unit.turn.schema.test_grammar import schemas

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "x"]), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("schema", "value", "problem"),
    [
        ({"type": "object", "properties": {"a": {"type": "integer"}}}, {"a": "x"}, "a: 'x' is not of type 'integer'"),
        ({"type": "object", "required": ["a"]}, {}, "'a' is a required property"),
        ({"items": {"maximum": 3}}, [1, 5], "1: 5 is greater than the maximum of 3"),
        (
            {"additionalProperties": False, "properties": {"a": {}}},
            {"b": 1},
            "'b' is not a property that the schema allows",
        ),
        ({"additionalProperties": {"type": "string"}}, {"b": 1}, "b: 1 is not of type 'string'"),
        ({"pattern": "^a+$"}, "b", "'b' does not match '^a+$'"),
        (
            {"patternProperties": {"^x": {"type": "string"}}, "additionalProperties": False},
            {"x1": 5},
            "x1: 5 is not of type 'string'",
        ),
        (
            {"patternProperties": {"^x": {}}, "additionalProperties": False},
            {"y": 5},
            "'y' is not a property that the schema allows",
        ),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"type": "null"}}}, 5, "5 is not of type 'null'"),
        (
            {"$schema": "http://json-schema.org/draft-07/schema#", "items": [{"type": "null"}]},
            [1],
            "0: 1 is not of type 'null'",
        ),
        (
            {"$schema": "https://json-schema.org/draft/2019-09/schema", "items": [{"type": "null"}]},
            [1],
            "0: 1 is not of type 'null'",
        ),
        ({"not": {"type": "string"}}, "x", "'x' should not be valid under {'type': 'string'}"),
        ({"if": {"type": "integer"}, "then": {"minimum": 5}}, 3, "3 is less than the minimum of 5"),
        ({"uniqueItems": True}, [1, 1], "[1, 1] has non-unique elements"),
        (False, 5, "no value is allowed here"),
    ],
)
def test_a_problem_is_a_sentence_with_its_path(schema: Any, value: Any, problem: str):
    assert problem_of(schema, value) == problem


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "string", "nullable": True, "enum": ["a"]}, None),
        ({"$ref": "https://example.com/schema.json"}, 5),
        ({"$ref": "other.json#/x"}, 5),
        ({"$ref": "#/$defs/gone"}, 5),
        ({"$schema": "https://example.com/no-such-draft", "type": "integer"}, 5),
        ({"$schema": [1], "type": "integer"}, 5),
        ({"type": "strang"}, 5),
        ({"minimum": "5"}, 3),
        ({"minimum": 0, "exclusiveMinimum": True}, 0.5),
        ({"required": "ab"}, {}),
        ({"properties": {"a": 5}}, {"a": 1}),
        ({"pattern": "(?!x)"}, "x"),
        ({"pattern": 5}, "x"),
        ({"format": "email"}, "no mail"),
        ({"multipleOf": 0}, 5),
        ("string", 5),
        (None, 5),
    ],
)
def test_what_makes_no_sense_forbids_nothing(schema: Any, value: Any):
    assert problem_of(schema, value) is None


def test_a_long_value_makes_no_long_sentence():
    problem = problem_of({"type": "integer"}, "x" * 10_000)
    assert problem is not None
    assert len(problem) < 400


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(schemas, values)
def test_any_json_is_a_schema_and_any_a_value(schema: Any, value: Any):
    problem_of(schema, value)


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_a_real_schema_judges_any_value(case: Case):
    for value in (None, 5, "x", [], {}, {"a": 1}):
        problem_of(case.schema, value)


def doubling(num_levels: int) -> dict[str, Any]:
    defs = {f"d{k}": {"anyOf": [{"$ref": f"#/$defs/d{k + 1}"}] * 2} for k in range(num_levels)}
    return {"$ref": "#/$defs/d0", "$defs": {**defs, f"d{num_levels}": {"type": "null"}}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"$ref": "#"}, 1),
        ({"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, 1),
        ({"allOf": [{"$ref": "#"}, {"$ref": "#"}], "unevaluatedProperties": False}, {"a": 1}),
        (doubling(40), 1),
        ({"pattern": "^(a+)+$"}, "a" * 50 + "!"),
        ({"propertyNames": {"pattern": "^(a+)+$"}}, {"a" * 50 + "!": 1}),
        ({"patternProperties": {"^(a+)+$": False}, "unevaluatedProperties": False}, {"a" * 50 + "!": 1}),
    ],
)
def test_no_schema_takes_long(schema: Any, value: Any):
    started = time.perf_counter()
    problem_of(schema, value)
    assert time.perf_counter() - started < 10  # and not years


def test_a_deep_value_is_not_judged():
    deep: Any = 1
    for _ in range(2000):
        deep = [deep]
    assert problem_of({"items": {"$ref": "#"}}, deep) is None
