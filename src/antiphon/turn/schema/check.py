"""A value held against its whole schema, with what the grammar could not say.

The `jsonschema` library knows the drafts (2020-12 where the schema names none). Around it: nothing is fetched, a
keyword that makes no sense is passed over, OpenAPI's `nullable` counts, `format` is a remark as the draft has it, and
the time is bounded. Whatever cannot be decided counts as valid.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import jsonschema
import referencing.exceptions
from jsonschema.exceptions import UndefinedTypeCheck, UnknownType, ValidationError
from referencing.jsonschema import EMPTY_REGISTRY

from antiphon.turn.schema import matching
from antiphon.turn.schema.kinds import as_count, as_object, as_texts
from antiphon.turn.schema.merge import Schema

_library: Any = jsonschema  # it has no types

_MAX_STEPS = 20_000
_MAX_ERRORS = 20
_MAX_WORDS = 300

Keyword = Callable[[Any, Any, Any, Any], Iterator[ValidationError] | None]
_num_steps: ContextVar[Iterator[int]] = ContextVar("num_steps")

_NUMBERS = "minimum maximum exclusiveMinimum exclusiveMaximum multipleOf"
_COUNTS = frozenset("minLength maxLength minItems maxItems minProperties maxProperties minContains maxContains".split())
_SENSIBLE: dict[str, tuple[type, ...]] = {
    **dict.fromkeys(_NUMBERS.split(), (int, float)),
    **dict.fromkeys("properties patternProperties dependentRequired dependentSchemas dependencies".split(), (dict,)),
    **dict.fromkeys("required enum allOf anyOf oneOf prefixItems".split(), (list,)),
    **dict.fromkeys("items additionalItems".split(), (dict, bool, list)),
    **dict.fromkeys("additionalProperties propertyNames contains not if".split(), (dict, bool)),
    "type": (str, list),
    "pattern": (str,),
    "$ref": (str,),
}


# What the library raises over a keyword that makes no sense, or a reference that leads nowhere.
_SENSELESS = (
    referencing.exceptions.Unresolvable,
    UndefinedTypeCheck,
    UnknownType,
    ArithmeticError,
    AttributeError,
    LookupError,
    TypeError,
    ValueError,
)


class _UndecidedError(Exception):
    pass


def problem_of(schema: object, value: object) -> str | None:
    """What is wrong with a value, in one sentence with its path; None if it is valid."""
    if as_object(schema) is None:
        return "no value is allowed here" if schema is False else None
    token = _num_steps.set(itertools.count())
    try:
        validator = _validator_of(json.dumps(schema))
        errors: list[ValidationError] = list(itertools.islice(validator.iter_errors(value), _MAX_ERRORS))
    except (_UndecidedError, RecursionError, *_SENSELESS):
        return None
    finally:
        _num_steps.reset(token)
    return _sentence(_best(errors)) if errors else None


def _best(errors: list[ValidationError]) -> ValidationError:
    """The error that tells most."""
    try:
        return _library.exceptions.best_match(errors)
    except _SENSELESS:
        return errors[0]


def _sentence(error: ValidationError) -> str:
    path = ".".join(map(str, error.absolute_path))
    words = error.message if len(error.message) <= _MAX_WORDS else f"{error.message[:_MAX_WORDS]}..."
    return f"{path}: {words}" if path else words


@lru_cache(maxsize=256)
def _validator_of(text: str) -> Any:
    schema = json.loads(text)
    draft = schema.get("$schema")
    stated = {"$schema": draft if isinstance(draft, str) else ""}
    known = _library.validators.validator_for(stated, default=_library.Draft202012Validator)
    # An empty registry: what the library cannot find in the schema it does not look for elsewhere.
    return _lenient(known, '"patternProperties"' in text)(schema, registry=EMPTY_REGISTRY)


@lru_cache(maxsize=16)
def _lenient(known: Any, has_patterns: bool) -> Any:
    own: dict[str, Keyword] = {
        "required": _required,
        "pattern": _pattern,
        "patternProperties": _pattern_properties,
        "additionalProperties": _additional_properties,
    }
    if has_patterns:  # the library would search with them, and that can take years
        own["unevaluatedProperties"] = _undecided
    theirs: dict[str, Keyword] = known.VALIDATORS
    keywords = {name: _guarded(name, own.get(name, keyword)) for name, keyword in theirs.items()}
    return _library.validators.extend(known, keywords)


def _guarded(name: str, keyword: Keyword) -> Keyword:
    def run(validator: Any, limit: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
        if next(_num_steps.get()) > _MAX_STEPS:
            raise _UndecidedError
        if not _is_sensible(name, limit) or (value is None and schema.get("nullable") is True):
            return
        try:
            yield from keyword(validator, limit, value, schema) or ()
        except _SENSELESS:
            return

    return run


def _is_sensible(name: str, limit: object) -> bool:
    if name in _COUNTS:
        return as_count(limit) is not None
    wanted = _SENSIBLE.get(name)
    return wanted is None or (isinstance(limit, wanted) and (bool in wanted or not isinstance(limit, bool)))


def _required(validator: Any, names: Any, value: Any, _: Any) -> Iterator[ValidationError]:
    members = as_object(value)
    for name in as_texts(names) if members is not None else ():
        if name not in (members or {}):
            yield ValidationError(f"{name!r} is a required property")


def _pattern(validator: Any, pattern: str, value: Any, _: Any) -> Iterator[ValidationError]:
    if isinstance(value, str) and matching.matches(pattern, value) is False:
        yield ValidationError(f"{value!r} does not match {pattern!r}")


def _undecided(*_: Any) -> Iterator[ValidationError]:
    yield from ()


def _pattern_properties(validator: Any, parts: Schema, value: Any, _: Any) -> Iterator[ValidationError]:
    for name, item in (as_object(value) or {}).items():
        for pattern, part in parts.items():
            if matching.matches(pattern, name):
                yield from validator.descend(item, part, path=name, schema_path=pattern)


def _additional_properties(validator: Any, rest: Any, value: Any, schema: Schema) -> Iterator[ValidationError]:
    patterns = as_object(schema.get("patternProperties")) or {}
    named = as_object(schema.get("properties")) or {}
    for name, item in (as_object(value) or {}).items():
        if name in named or any(matching.matches(pattern, name) is not False for pattern in patterns):
            continue
        if rest is False:
            yield ValidationError(f"{name!r} is not a property that the schema allows")
        else:
            yield from validator.descend(item, rest, path=name)
