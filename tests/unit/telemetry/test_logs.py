"""The process's own log."""

import json
import logging

import pytest

from antiphon.core.secrets import hint_of, new_key
from antiphon.telemetry.logs import JsonFormatter, TextFormatter, request_id, without_keys

FORMATTERS = [TextFormatter(), JsonFormatter()]


def record(message: str, *args: object, error: BaseException | None = None) -> logging.LogRecord:
    where = ("antiphon.web", logging.ERROR, "file.py", 1)
    return logging.LogRecord(*where, message, args, (type(error), error, error.__traceback__) if error else None)


def failed(words: str) -> Exception:
    """An exception that was raised, for the sake of another."""
    try:
        try:
            raise KeyError(words)
        except KeyError as error:
            raise ValueError(f"cannot read {words}") from error
    except ValueError as error:
        return error


@pytest.fixture
def in_request():
    token = request_id.set("req_1")
    yield
    request_id.reset(token)


def test_text_is_one_plain_line():
    assert TextFormatter().format(record("the %s is back", "engine")) == "ERROR antiphon.web: the engine is back"


def test_json_is_one_object_a_line():
    text = JsonFormatter().format(record("the %s\nis \ud800 back", "engine"))
    line = json.loads(text)
    assert "\n" not in text
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "error", "logger": "antiphon.web", "message": "the engine\nis \ud800 back"}


@pytest.mark.usefixtures("in_request")
def test_a_line_of_a_request_has_its_id():
    assert TextFormatter().format(record("failed")) == "ERROR antiphon.web [req_1]: failed"
    assert json.loads(JsonFormatter().format(record("failed")))["request_id"] == "req_1"


@pytest.mark.parametrize("formatter", FORMATTERS)
def test_outside_of_a_request_an_exception_is_told_whole(formatter: logging.Formatter):
    text = formatter.format(record("failed", error=failed("the file")))
    assert "cannot read the file" in text
    assert "in failed" in text


@pytest.mark.usefixtures("in_request")
@pytest.mark.parametrize("formatter", FORMATTERS)
def test_in_a_request_an_exception_is_told_without_its_words(formatter: logging.Formatter):
    text = formatter.format(record("failed", error=failed("what the user said")))
    assert "what the user said" not in text
    for part in ("builtins.KeyError", "which led to:", "builtins.ValueError", "test_logs.py", "in failed"):
        assert part in text


@pytest.mark.usefixtures("in_request")
def test_another_handlers_traceback_is_not_taken_over():
    shared = record("failed", error=failed("what the user said"))
    logging.Formatter().format(shared)
    assert "what the user said" not in TextFormatter().format(shared)


@pytest.mark.parametrize("formatter", FORMATTERS)
@pytest.mark.parametrize("kind", ["api", "admin"])
def test_no_key_is_written(formatter: logging.Formatter, kind):
    key = new_key(kind)
    text = formatter.format(record("the header was %r", f"Bearer {key}", error=failed(key)))
    assert key[20:] not in text
    assert key.partition("1-")[0] in text


def test_a_hint_of_a_key_stays():
    hint = hint_of(new_key("api"))
    assert without_keys(f"the key {hint} is gone") == f"the key {hint} is gone"
