"""pydantic's findings become the API's one error: which of them is told, its path, its words.

Most texts of the real API are pydantic's own; the tables here hold the others.
"""

from collections.abc import Callable, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from antiphon.core.errors import ApiError, invalid
from antiphon.wire.fields import COMPOUND, SCALAR

_NAME_LIMIT = 100

_BY_TYPE: Mapping[str, str] = {
    "dict_type": "Input should be an object",
    "model_type": "Input should be an object",
    "model_attributes_type": "Input should be an object",
    "list_type": "Input should be a valid array",
}

_BY_FIELD: Mapping[tuple[str, str], str] = {
    ("max_tokens", "greater_than_equal"): "must be greater than or equal to 0",
    ("temperature", "greater_than_equal"): "range: 0..1",
    ("temperature", "less_than_equal"): "range: 0..1",
    ("top_p", "greater_than_equal"): "range: 0..1",
    ("top_p", "less_than_equal"): "range: 0..1",
    ("inference_geo", "literal_error"): "must be one of ['global', 'us']",
    ("messages", "too_short"): "at least one message is required",
}


def from_validation(error: ValidationError) -> ApiError:
    """The first error in the order of the fields, which is the order in which the API checks them."""
    errors = error.errors(include_url=False)
    return invalid(_sentence(next((one for one in errors if not _is_of_scalar_branch(one)), errors[0])))


def _is_of_scalar_branch(error: ErrorDetails) -> bool:
    return SCALAR in error["loc"] and error["type"] != "extra_forbidden"


def _sentence(error: ErrorDetails) -> str:
    path = _path(error)
    if special := _SPECIAL.get(error["type"]):
        path, words = special(path, error)
    else:
        words = _BY_FIELD.get((".".join(path), error["type"])) or _BY_TYPE.get(error["type"]) or error["msg"]
    return f"{'.'.join(path)}: {words}" if path else words


def _path(error: ErrorDetails) -> list[str]:
    *parents, last = error["loc"] or ("",)
    # An unknown key is the client's own word, even when it looks like one of ours.
    shown = [part for part in parents if not _is_label(part)]
    shown += [last] if error["type"] == "extra_forbidden" or not _is_label(last) else []
    return [clip(str(part)) for part in shown if part != ""]


def _is_label(part: object) -> bool:
    return isinstance(part, str) and part.startswith((SCALAR, COMPOUND))


def clip(text: str) -> str:
    """A client's own word, as long as it is quoted in an error."""
    return text if len(text) <= _NAME_LIMIT else text[:_NAME_LIMIT] + "…"


def _context(error: ErrorDetails) -> Mapping[str, Any]:
    return error.get("ctx") or {}


def _problem(path: list[str], error: ErrorDetails) -> tuple[list[str], str]:
    """An error of our own validators says its words, and where below the validated value it lies."""
    context = _context(error)
    return path + [clip(part) for part in str(context["path"]).split(".") if part], str(context["words"])


def _missing_tag(path: list[str], error: ErrorDetails) -> tuple[list[str], str]:
    return [*path, "type"], "Field required"


def _wrong_tag(path: list[str], error: ErrorDetails) -> tuple[list[str], str]:
    context = _context(error)
    tag, known = clip(str(context["tag"])), context["expected_tags"]
    return path, f"Input tag '{tag}' found using 'type' does not match any of the expected tags: {known}"


def _literal(path: list[str], error: ErrorDetails) -> tuple[list[str], str]:
    if len(path) == 3 and path[0] == "messages" and path[2] == "role":
        return _role(path, error["input"])
    words = _BY_FIELD.get((".".join(path), error["type"])) or error["msg"]
    return path, words


def _role(path: list[str], role: object) -> tuple[list[str], str]:
    if not isinstance(role, str):
        return path, "Input should be a valid string"
    return path[:1], f'Unexpected role "{clip(role)}". Allowed roles are "user" or "assistant"'


_SPECIAL: Mapping[str, Callable[[list[str], ErrorDetails], tuple[list[str], str]]] = {
    "problem": _problem,
    "union_tag_not_found": _missing_tag,
    "union_tag_invalid": _wrong_tag,
    "literal_error": _literal,
}
