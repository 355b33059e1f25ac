"""The process's own log: text for a terminal, or one object of JSON a line. Never a whole key, never a prompt."""

import json
import logging
import re
import traceback
from collections.abc import Iterator
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Literal

Format = Literal["text", "json"]

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that the current task works for."""

_KEY = re.compile(r"(sk-ant-\w{1,12}-)[\w-]{12,}")


def configure(form: Format) -> None:
    """Log to stderr from now on, from INFO upwards."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("uvicorn").setLevel(logging.ERROR)  # it warns of each bad request, and those need no key
    logging.getLogger("alembic").setLevel(logging.WARNING)  # a dozen lines at a first start


class TextFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        request = f" [{known}]" if (known := request_id.get()) else ""
        text = f"{record.levelname} {record.name}{request}: {record.getMessage()}"
        return without_keys("\n".join([text, *_trace(record)]))


class JsonFormatter(logging.Formatter):
    """`time`, `level`, `logger`, `message`, and where there are any `request_id` and `trace`."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if known := request_id.get():
            line["request_id"] = known
        if trace := "\n".join(_trace(record)):
            line["trace"] = trace
        return without_keys(json.dumps(line))


def without_keys(text: str) -> str:
    """`text` with no more of any key than its kind."""
    return _KEY.sub(r"\1...", text)


def _trace(record: logging.LogRecord) -> Iterator[str]:
    """What was raised and where. Its words are left out while a request is served: they may quote that request."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return
    if request_id.get() is None:
        yield "".join(traceback.format_exception(error)).rstrip()
    else:
        yield from _without_words(error)


def _without_words(error: BaseException) -> Iterator[str]:
    if before := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        yield from _without_words(before)
        yield "which led to:"
    yield from (frame.rstrip() for frame in traceback.format_tb(error.__traceback__))
    yield f"{type(error).__module__}.{type(error).__qualname__}"
