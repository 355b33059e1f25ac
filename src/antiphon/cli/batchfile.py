"""The files of `antiphon batch`: lines of requests, lines of results, and the state in between."""

import asyncio
import hashlib
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

import orjson

from antiphon.core.clock import SystemClock
from antiphon.core.errors import ApiError, OperatorError
from antiphon.facades.openai.answers import completion_of
from antiphon.facades.openai.convert import DEFAULT_MAX_TOKENS, convert
from antiphon.facades.openai.shapes import ChatRequest
from antiphon.wire.batch import MAX_BYTES, MAX_REQUESTS
from antiphon.wire.events import Message, Usage
from antiphon.wire.parse import parse_fields

Json = dict[str, Any]
_CHAT_URL = "/v1/chat/completions"
_PART_BYTES = MAX_BYTES - 1024 * 1024


class Defaults(NamedTuple):
    """What a line means that does not say it."""

    model: str
    max_tokens: int


class Line(NamedTuple):
    """One request of a batch, and whether it came in OpenAI's form."""

    request: bytes
    is_openai: bool


def read_parts(file: Path, defaults: Defaults) -> Iterator[list[Line]]:
    """The lines of `file`, as many at a time as one batch can have. Raises OperatorError that names a wrong one."""
    part: list[Line] = []
    num_bytes = 0
    for number, text in enumerate(_lines(file), 1):
        if not text.strip():
            continue
        line = _line(file, number, text, defaults)
        if len(part) == MAX_REQUESTS or num_bytes + len(line.request) > _PART_BYTES:
            yield part
            part, num_bytes = [], 0
        part.append(line)
        num_bytes += len(line.request) + 1
    if not part:
        raise OperatorError(f"{file} holds no request: write one on each line.")
    yield part


def _lines(file: Path) -> Iterator[bytes]:
    try:
        with file.open("rb") as lines:
            yield from lines
    except OSError as error:
        raise OperatorError(f"Cannot read {file} ({error.strerror}).") from error


def _line(file: Path, number: int, text: bytes, defaults: Defaults) -> Line:
    try:
        return _understood(orjson.loads(text), number, defaults)
    except (ValueError, ApiError) as error:
        raise OperatorError(f"{file}:{number}: {error}") from error


def _understood(line: Any, number: int, defaults: Defaults) -> Line:
    """Raises ValueError and ApiError."""
    if not isinstance(line, dict):
        raise ValueError("a line is a JSON object")
    given = cast(Json, line)
    custom_id = given.get("custom_id", f"line-{number}")
    if "params" in given:
        return Line(orjson.dumps({"custom_id": custom_id, "params": given["params"]}), is_openai=False)
    if "body" in given:
        return Line(orjson.dumps({"custom_id": custom_id, "params": _params_of_chat(given)}), is_openai=True)
    if isinstance(given.get("prompt"), str):
        params: Json = {"model": defaults.model, "max_tokens": defaults.max_tokens}
        params["messages"] = [{"role": "user", "content": given["prompt"]}]
        return Line(orjson.dumps({"custom_id": custom_id, "params": params}), is_openai=False)
    raise ValueError("a line has `custom_id` and `params`, or `prompt`, or is one of OpenAI's with `url` and `body`")


def _params_of_chat(line: Json) -> Json:
    if line.get("url", _CHAT_URL) != _CHAT_URL:
        raise ValueError(f"only lines for {_CHAT_URL} are taken, not for {line['url']}")
    chat = parse_fields(ChatRequest, orjson.dumps(line["body"]))
    return convert(chat, DEFAULT_MAX_TOKENS).body | {"stream": False}


async def body_of(part: list[Line]) -> AsyncIterator[bytes]:
    """The body of a request that makes a batch of `part`."""
    start = b'{"requests":['
    for line in part:
        yield start + line.request
        start = b","
    yield b"]}"


async def write_lines(blocks: AsyncGenerator[bytes, None], output: Path | None, *, is_openai: bool = False) -> int:
    """Results into a file, which is there only when all of them are, or to the terminal; how many."""
    if output is None:
        num = 0
        async for block in blocks:
            num += block.count(b"\n")
            sys.stdout.write(block.decode())
        return num
    return await write_files([blocks], output, is_openai=is_openai)


async def write_files(batches: list[AsyncGenerator[bytes, None]], output: Path, *, is_openai: bool) -> int:
    partial = output.with_name(output.name + ".part")
    num = 0
    try:
        with partial.open("wb") as file:
            for blocks in batches:
                async for block in blocks:
                    num += block.count(b"\n")
                    await asyncio.to_thread(file.write, _in_openais_form(block) if is_openai else block)
        partial.replace(output)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise OperatorError(f"Cannot write {output} ({error.strerror}): choose another with --output.") from error
    return num


def _in_openais_form(block: bytes) -> bytes:
    return b"".join([orjson.dumps(_openai_result(orjson.loads(line))) + b"\n" for line in block.splitlines()])


def _openai_result(line: Json) -> Json:
    """A line of results as OpenAI's Batch API writes it (its reference, "The request output object")."""
    result = line["result"]
    same: Json = {"id": f"batch_req_{line['custom_id']}", "custom_id": line["custom_id"]}
    if result["type"] == "succeeded":
        message = _message_of(result["message"])
        body = completion_of(message, int(SystemClock().now()), is_legacy=False)
        return same | {"response": {"status_code": 200, "request_id": message.id, "body": body}, "error": None}
    if result["type"] == "errored":
        error = result["error"]["error"]
    else:
        error = {"type": f"batch_{result['type']}", "message": f"This request is {result['type']}."}
    return same | {"response": None, "error": {"code": error["type"], "message": error["message"]}}


def _message_of(message: Json) -> Message:
    counts = message["usage"]
    usage = Usage(
        counts["input_tokens"],
        counts["output_tokens"],
        cache_creation_5m=counts["cache_creation_input_tokens"],
        cache_read=counts["cache_read_input_tokens"],
    )
    return Message(message["id"], message["model"], usage, message["content"], message["stop_reason"])


class State:
    """Which batches were made of a file: it lies beside it until they have ended."""

    def __init__(self, file: Path, output: Path) -> None:
        self.path = file.with_name(file.name + ".batch.json")
        self._digest = _digest(file)
        self._output = str(output.absolute())
        self.batch_ids: list[str] = self._read()

    def _read(self) -> list[str]:
        try:
            known = json.loads(self.path.read_text())
            if known["file"] != self._digest:
                raise OperatorError(
                    f"The file has changed since its batch was made: take {self.path} away to send it anew."
                )
            return list(known["batches"])
        except FileNotFoundError:
            return []
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise OperatorError(f"Cannot read {self.path} ({error}): take it away to send the file anew.") from error

    def save(self) -> None:
        """Raises OperatorError."""
        partial = self.path.with_name(self.path.name + ".part")
        try:
            partial.write_text(json.dumps({"file": self._digest, "batches": self.batch_ids, "output": self._output}))
            partial.replace(self.path)
        except OSError as error:
            raise OperatorError(f"Cannot write {self.path} ({error.strerror}): the state has to lie there.") from error

    def forget(self) -> None:
        self.path.unlink(missing_ok=True)


def _digest(file: Path) -> str:
    try:
        with file.open("rb") as content:
            return hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise OperatorError(f"Cannot read {file} ({error.strerror}).") from error
