"""A chat request becomes the body of a Messages request: what is wrong with it is then found where it always is."""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from antiphon.core.errors import ApiError, invalid
from antiphon.facades.openai.shapes import (
    AnyFormat,
    ChatMessage,
    ChatRequest,
    Content,
    Function,
    FunctionCall,
    ImageUrl,
    JsonSchema,
    NamedTool,
    Part,
)
from antiphon.wire.decode import parse_object

DEFAULT_MAX_TOKENS = 32_000
_DATA_URL = re.compile(r"data:([a-z]+/[a-z0-9.+-]+);base64,(.*)", re.DOTALL | re.IGNORECASE)
_CHOICES = {"none": "none", "auto": "auto", "required": "any"}
_LEGACY_ID = "function_call_%d"

Json = dict[str, Any]


class Converted(NamedTuple):
    """`positions`: where each of the body's messages stands in the request.

    `document` is a schema for the reply's text that is no promise: that of a format which is not strict.
    """

    body: Json
    positions: Sequence[int]
    document: Json | None


def convert(request: ChatRequest, max_output: int) -> Converted:
    """The body of a Messages request (2023-06-01). Raises 400 in the words of the chat request."""
    system, messages, positions = _conversation(request.messages)
    wanted = request.max_completion_tokens or request.max_tokens or min(max_output, DEFAULT_MAX_TOKENS)
    body: Json = {"model": request.model, "max_tokens": wanted, "messages": messages, "stream": bool(request.stream)}
    if system:
        body["system"] = system
    if request.temperature is not None:
        body["temperature"] = min(request.temperature, 1.0)
    if request.top_p is not None:
        body["top_p"] = request.top_p
    if request.stop:
        body["stop_sequences"] = [request.stop] if isinstance(request.stop, str) else request.stop
    if request.thinking is not None:
        body["thinking"] = request.thinking
    body |= _tools(request) | _strict_format(request)
    return Converted(body, positions, _loose_format(request))


def _conversation(messages: Sequence[ChatMessage]) -> tuple[str, list[Json], list[int]]:
    """(the system prompt, the messages, where each of them stood)."""
    system: list[str] = []
    turns: list[Json] = []
    positions: list[int] = []
    last_legacy_id = ""
    for position, message in enumerate(messages):
        if message.role in ("system", "developer"):
            system.append(_text(message.content))
            continue
        if message.function_call:
            last_legacy_id = _LEGACY_ID % position
        turns.append(_turn(message, position, last_legacy_id))
        positions.append(position)
    return "\n".join(filter(None, system)), turns, positions


def _turn(message: ChatMessage, position: int, legacy_id: str) -> Json:
    match message.role:
        case "assistant":
            return {"role": "assistant", "content": _blocks(message.content) + _calls(message, position)}
        case "tool" | "function":
            call_id = message.tool_call_id if message.role == "tool" else legacy_id
            if not call_id:
                raise invalid(f"messages.{position}.tool_call_id: Field required")
            result = {"type": "tool_result", "tool_use_id": call_id, "content": _blocks(message.content)}
            return {"role": "user", "content": [result]}
        case _:
            return {"role": "user", "content": _blocks(message.content)}


def _calls(message: ChatMessage, position: int) -> list[Json]:
    calls = [
        _call(call.id, call.function, f"messages.{position}.tool_calls.{i}.function.arguments")
        for i, call in enumerate(message.tool_calls or ())
    ]
    if message.function_call:
        path = f"messages.{position}.function_call.arguments"
        calls.append(_call(_LEGACY_ID % position, message.function_call, path))
    return calls


def _call(call_id: str, call: FunctionCall, path: str) -> Json:
    try:
        given = parse_object(call.arguments.encode() or b"{}")
    except ApiError:
        raise invalid(f"{path}: must be a JSON object") from None
    return {"type": "tool_use", "id": call_id, "name": call.name, "input": given}


def _text(content: Content | None) -> str:
    return "".join(block["text"] for block in _blocks(content) if block["type"] == "text")


def _blocks(content: Content | None) -> list[Json]:
    """Without empty texts, which the API refuses and chat clients send."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}] if content else []
    return [block for part in content or () if (block := _block(part))]


def _block(part: Part) -> Json | None:
    if part.type == "image_url" and part.image_url:
        return {"type": "image", "source": _source(part.image_url)}
    text = {"text": part.text, "refusal": part.refusal}.get(part.type)
    return {"type": "text", "text": text} if text else None


def _source(image: ImageUrl) -> Json:
    if data := _DATA_URL.fullmatch(image.url):
        return {"type": "base64", "media_type": data[1].lower(), "data": data[2]}
    return {"type": "url", "url": image.url}


def _tools(request: ChatRequest) -> Json:
    functions = request.functions if request.is_legacy else [tool.function for tool in request.tools or ()]
    if not functions:
        if request.tool_choice not in (None, "none", "auto"):
            raise invalid("tool_choice: may only be specified while providing tools")
        return {}
    choice = _legacy_choice(request) if request.is_legacy else _choice(request)
    return {"tools": [_tool(function) for function in functions]} | ({"tool_choice": choice} if choice else {})


def _tool(function: Function) -> Json:
    tool: Json = {
        "name": function.name,
        "input_schema": {"type": "object", "properties": {}} | (function.parameters or {}),
    }
    if function.description is not None:
        tool["description"] = function.description
    return tool | ({"strict": True} if function.strict else {})


def _choice(request: ChatRequest) -> Json | None:
    wanted = request.tool_choice
    if wanted is None and request.parallel_tool_calls is not False:
        return None
    if isinstance(wanted, NamedTool):
        choice: Json = {"type": "tool", "name": wanted.function.name}
    else:
        choice = {"type": _CHOICES[wanted or "auto"]}
    if request.parallel_tool_calls is False and wanted != "none":
        choice["disable_parallel_tool_use"] = True
    return choice


def _legacy_choice(request: ChatRequest) -> Json:
    """A `function_call` has room for one call."""
    wanted = request.function_call or "auto"
    if wanted == "none":
        return {"type": "none"}
    choice = {"type": "auto"} if wanted == "auto" else {"type": "tool", "name": wanted.name}
    return choice | {"disable_parallel_tool_use": True}


def _strict_format(request: ChatRequest) -> Json:
    wanted = request.response_format
    if not isinstance(wanted, JsonSchema) or not wanted.json_schema.strict:
        return {}
    if wanted.json_schema.schema_ is None:
        raise invalid("response_format.json_schema.schema: Field required")
    return {"output_config": {"format": {"type": "json_schema", "schema": wanted.json_schema.schema_}}}


def _loose_format(request: ChatRequest) -> Json | None:
    wanted = request.response_format
    if wanted is None or wanted.type == "text":
        return None
    if request.messages[-1].role == "assistant":
        raise invalid("response_format: the conversation may not end with an assistant message")
    if isinstance(wanted, AnyFormat):
        return {"type": "object"}
    return None if wanted.json_schema.strict else wanted.json_schema.schema_ or {"type": "object"}


_RENAMED = (
    ("stop_sequences", "stop"),
    ("output_config.format.schema", "response_format.json_schema.schema"),
    ("output_config.format", "response_format"),
)
_IN_MESSAGES = re.compile(r"messages\.(\d+)")
_IN_TOOLS = re.compile(r"(tools\.\d+)\.custom(\.input_schema)?")


def in_chat_words(error: ApiError, positions: Sequence[int]) -> str:
    """The message of an error of the Messages request, with the path that the thing has in the chat request."""
    path, colon, words = error.message.partition(": ")
    if not colon or " " in path:
        return error.message
    for old, new in _RENAMED:
        if path.startswith(old):
            return f"{new}{path.removeprefix(old)}: {words}"
    if (found := _IN_MESSAGES.match(path)) and int(found[1]) < len(positions):
        path = f"messages.{positions[int(found[1])]}{path[found.end() :]}"
    return f"{_IN_TOOLS.sub(_tool_path, path)}: {words}"


def _tool_path(found: re.Match[str]) -> str:
    return f"{found[1]}.function{'.parameters' if found[2] else ''}"
