"""The results of a batch, one line of JSON each (Messages API, "Retrieve Message Batch results")."""

from typing import Any

import orjson

from antiphon.core.errors import ApiError
from antiphon.encode.envelope import error_body
from antiphon.wire.events import Message


def succeeded_line(custom_id: str, message: Message) -> str:
    return _line(custom_id, {"type": "succeeded", "message": message.as_json()})


def errored_line(custom_id: str, error: ApiError) -> str:
    """No request of its own has led to the error, so its `request_id` is null."""
    return _line(custom_id, {"type": "errored", "error": error_body(error, "") | {"request_id": None}})


def unasked_line(custom_id: str, kind: str) -> str:
    """`kind` is why the model was not asked: `canceled` or `expired`."""
    return _line(custom_id, {"type": kind})


def _line(custom_id: str, result: dict[str, Any]) -> str:
    return orjson.dumps({"custom_id": custom_id, "result": result}).decode() + "\n"
