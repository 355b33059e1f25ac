"""What the API refuses of schemas that it enforces, in its words."""

from typing import Any

import pytest

from antiphon.core.errors import ApiError, Kind
from antiphon.turn.schema import refuse

ITEMS = "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
CLOSED: dict[str, Any] = {"type": "object", "additionalProperties": False}


def closed(**properties: Any) -> dict[str, Any]:
    return {**CLOSED, "properties": properties, "required": list(properties)}


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        ({"type": "object"}, "For 'object' type, 'additionalProperties' must be explicitly set to false"),
        (closed(a={"type": "object"}), "For 'object' type, 'additionalProperties' must be explicitly set to false"),
        (
            {"type": "object", "additionalProperties": True},
            "For 'object' type, 'additionalProperties: true' is not supported. "
            "Please set 'additionalProperties' to false",
        ),
        (
            {"type": "object", "additionalProperties": {"type": "string"}},
            "For 'object' type, 'additionalProperties: object' is not supported. "
            "Please set 'additionalProperties' to false",
        ),
        ({"type": "integer", "minimum": 1}, "For 'integer' type, property 'minimum' is not supported"),
        (
            {"type": "number", "minimum": 0, "maximum": 1},
            "For 'number' type, properties maximum, minimum are not supported",
        ),
        ({"type": ["integer", "null"], "multipleOf": 2}, "For 'integer' type, property 'multipleOf' is not supported"),
        (
            {"type": "string", "minLength": 1, "maxLength": 2},
            "For 'string' type, properties maxLength, minLength are not supported",
        ),
        (
            {"type": "array", "items": {"type": "null"}, "maxItems": 3},
            "For 'array' type, property 'maxItems' is not supported",
        ),
        ({"type": "array", "minItems": 2, "maxItems": 5}, f"{ITEMS} (got: [2, 5])"),
        ({"type": "array", "minItems": 6}, f"{ITEMS} (got: [6, ∞])"),
        (
            {"type": "array", "items": [{"type": "null"}]},
            "Invalid schema: Array types must be specified with a single object schema for 'items'",
        ),
        (
            {**CLOSED, "propertyNames": {"type": "string"}},
            "For 'object' type, property 'propertyNames' is not supported",
        ),
        ({"oneOf": [{"type": "null"}]}, "Schema type 'oneOf' is not supported"),
        ({"not": {}}, "Schema type 'not' is not supported"),
        (closed(a={"title": "A"}), "Invalid schema: Schema type is missing"),
        ({}, "Invalid schema: Schema type is missing"),
        ({"type": "string", "format": "phone"}, "For 'string' type, format 'phone' is not supported"),
        ({"type": "string", "pattern": "(?=a)"}, "For 'string' type, pattern '(?=a)' is not supported"),
        (
            {"type": ["string", "null"], "enum": ["a", None]},
            "Invalid schema: Enum value 'a' does not match declared type '['string', 'null']'",
        ),
        (
            {"type": "integer", "enum": [1, "a"]},
            "Invalid schema: Enum value 'a' does not match declared type 'integer'",
        ),
        ({"$ref": "#/$defs/Gone"}, "Invalid schema: Reference to non-existent definition: #/$defs/Gone"),
        (
            {"$ref": "https://example.com/x"},
            "Invalid schema: External reference is not supported: https://example.com/x",
        ),
        (
            {"allOf": [{"$ref": "#/$defs/a"}], "$defs": {"a": {"type": "null"}}},
            "Invalid schema: '$ref' in 'allOf' is not supported",
        ),
        (
            {"$ref": "#/$defs/A", "$defs": {"A": closed(a={"type": "array", "items": {"$ref": "#/$defs/A"}})}},
            "Invalid schema: Circular reference detected in schema definitions: A -> A. "
            "Self-referencing or mutually-referencing definitions are not supported.",
        ),
        (
            {
                **closed(x={"$ref": "#/$defs/A"}),
                "$defs": {"A": closed(b={"$ref": "#/$defs/B"}), "B": closed(a={"$ref": "#/$defs/A"})},
            },
            "Invalid schema: Circular reference detected in schema definitions: A -> B -> A. "
            "Self-referencing or mutually-referencing definitions are not supported.",
        ),
        ("string", "Invalid schema: Schema must be an object"),
    ],
)
def test_a_schema_is_refused_in_the_apis_words(schema: Any, problem: str):
    with pytest.raises(ApiError) as caught:
        refuse.check_format(schema)
    assert caught.value.kind is Kind.INVALID_REQUEST
    assert caught.value.message == f"output_config.format.schema: {problem}"


@pytest.mark.parametrize(
    "schema",
    [
        closed(
            a={"type": "string", "format": "date-time", "description": "x"},
            b={"type": "array", "items": {"type": "integer"}},
        ),
        closed(
            a={"anyOf": [{"type": "string", "enum": ["x"]}, {"type": "null"}]}, b={"const": 5}, c={"enum": [1, "a"]}
        ),
        {**closed(a={"$ref": "#/$defs/A"}, b={"$ref": "#/$defs/A"}), "$defs": {"A": closed(n={"type": "number"})}},
        {"type": "array", "items": {"type": "string"}, "minItems": 1},
        {"type": "string", "pattern": "^[a-z]+$"},
        {"type": "string", "default": "x", "title": "T"},
    ],
)
def test_a_schema_of_the_supported_part_is_taken(schema: Any):
    refuse.check_format(schema)
    refuse.check_strict({"tools.0.custom": schema})


def test_a_strict_tool_is_refused_by_its_path():
    with pytest.raises(ApiError, match=r"^tools\.3\.custom: For 'object' type, 'additionalProperties' must be"):
        refuse.check_strict({"tools.0.custom": CLOSED, "tools.3.custom": {"type": "object"}})


def test_there_are_at_most_20_strict_tools():
    refuse.check_strict({f"tools.{k}.custom": CLOSED for k in range(20)})
    with pytest.raises(
        ApiError, match=r"^Too many strict tools \(21\)\. The maximum number of strict tools supported is 20"
    ):
        refuse.check_strict({f"tools.{k}.custom": CLOSED for k in range(21)})


def test_optional_parameters_are_counted_over_all_schemas():
    half = {**CLOSED, "properties": {f"p{k}": {"type": "null"} for k in range(13)}, "required": ["p0"]}
    refuse.check_limits([half, half])
    with pytest.raises(ApiError, match=r"^Schemas contains too many optional parameters \(36\), .* \(limit: 24\)\.$"):
        refuse.check_limits([half, half, half])


def test_unions_are_counted_over_all_schemas():
    part = closed(
        **{f"p{k}": {"type": ["string", "null"]} for k in range(4)}, **{f"q{k}": {"anyOf": []} for k in range(4)}
    )
    refuse.check_limits([part, part])
    with pytest.raises(ApiError, match=r"^Schemas contains too many parameters with union types \(24 parameters"):
        refuse.check_limits([part, part, part])
