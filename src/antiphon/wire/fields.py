"""The scalars and markers that every wire type is made of.

Types are strict as the real API is: `"5"` is no integer, `5.0` is none, `1` is no boolean, and null is refused
unless the field's type says `| None`.
"""

import math
from typing import Annotated, Any, TypeVar, cast, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, GetCoreSchemaHandler, Tag
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

T = TypeVar("T")

MAX_NAMED = 10_000
MAX_ITEMS = 100_000

SCALAR = "<scalar>"
COMPOUND = "<compound>"
"""Labels of the two branches of a `str | list` union. They never reach a client: errors of the scalar branch are
dropped and the labels are cut from the path, so `"system": 5` is told what the API tells: it wants an array."""


class WireModel(BaseModel):
    """A JSON object of the API: frozen; unknown keys are ignored unless the validation call forbids them.

    A validator is built when it is first asked for: most are only parts of another one.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", protected_namespaces=(), defer_build=True)


class RefusedNull:
    """Turns `X | None` into "X, or absent": the attribute is None when the key is absent, and null is an error."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        present = tuple(kind for kind in get_args(source) if kind is not type(None))
        inner: Any = present[0]
        for kind in present[1:]:
            inner = inner | kind
        return handler.generate_schema(inner)


class OneTag:
    """A tagged union of one member, so that the tag stands in error paths (`cache_control.ephemeral.ttl`)."""

    def __init__(self, tag: str) -> None:
        self.tag = tag

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.tagged_union_schema({self.tag: handler(source)}, discriminator="type")


class Shaped:
    """An object whose wrong JSON type the API words as "Input does not match the expected shape."."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(_object_or_refuse, handler(source))


def _object_or_refuse(value: Any) -> Any:
    if type(value) is dict:
        return value  # pyright: ignore[reportUnknownVariableType]
    raise PydanticCustomError("expected_shape", "Input does not match the expected shape.")


def problem(words: str, path: str = "") -> PydanticCustomError:
    """An error for use inside validators; `path` (dotted) goes behind the place of the validated value."""
    return PydanticCustomError("problem", "{words}", {"words": words, "path": path})


def _finite(value: T) -> T:
    # 1e400 parses as infinity, which no JSON can say again; the typed fields refuse it by themselves.
    pending: list[object] = [value]
    while pending:
        part = pending.pop()
        kind = type(part)
        if kind is dict:
            pending.extend(cast(dict[str, object], part).values())
        elif kind is list:
            pending.extend(cast(list[object], part))
        elif kind is float and math.isinf(cast(float, part)):
            raise problem("Input should be a finite number")
    return value


def _few(value: object) -> object:
    if isinstance(value, dict) and len(cast(dict[str, object], value)) > MAX_NAMED:
        raise problem(f"Object should have at most {MAX_NAMED} keys")
    return cast(object, value)


Omittable = Annotated[T | None, RefusedNull()]

Items = Annotated[list[T], Field(fail_fast=True, max_length=MAX_ITEMS)]
"""Only the first error is told, so a list stops at it: a million wrong items cost no more than one."""

Named = Annotated[dict[str, T], BeforeValidator(_few)]
"""An object with keys of the client's choice. It cannot stop at its first error, so it is kept small."""

Int = Annotated[int, Field(strict=True)]
Bool = Annotated[bool, Field(strict=True)]
Number = Annotated[float, Field(strict=True, allow_inf_nan=False)]
Json = Annotated[Any, AfterValidator(_finite)]
JsonObject = Annotated[dict[str, Any], AfterValidator(_finite)]
NonEmpty = Annotated[str, Field(min_length=1)]

ScalarText = Annotated[str, Tag(SCALAR)]
