"""An engine's own 4xx, told in the API's words where those are known: clients act on them."""

import re
from typing import Any

import orjson

from antiphon.core.errors import ApiError, invalid

_MAX_CHARS = 300
_TOO_LONG = re.compile(
    r"maximum context length (?:is|of) (?P<most>\d+) tokens.*?(?P<num>\d+) (?:input )?tokens"
    r"|\((?P<num2>\d+) tokens\) exceeds the available context size \((?P<most2>\d+) tokens\)",
    re.DOTALL,
)
"""vLLM's and SGLang's sentence, and llama.cpp's."""
_UNREADABLE = "Failed to load image"  # llama.cpp's


def refusal(content: bytes) -> ApiError:
    """The error for the body of an engine's 400, 413 or 422."""
    words = _words(content)
    if found := _TOO_LONG.search(words):
        num, most = found["num"] or found["num2"], found["most"] or found["most2"]
        return invalid(f"prompt is too long: {num} tokens > {most} maximum")
    if words.startswith(_UNREADABLE):
        return invalid("Could not process image")
    return invalid(f"The engine refused the request: {words[:_MAX_CHARS]}")


def _words(content: bytes) -> str:
    try:
        data: dict[str, Any] = orjson.loads(content)
        error: Any = data.get("error", data)
        return str(error if isinstance(error, str) else error["message"])
    except (ValueError, AttributeError, KeyError, TypeError):
        return content.decode("utf-8", "replace")
