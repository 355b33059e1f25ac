"""The least request that is valid, and short ways to change it."""

import json
from typing import Any

DROP: Any = object()
PNG = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0="}}
PDF = {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="}}
ONE_HOUR = {"type": "ephemeral", "ttl": "1h"}
FIVE_MINUTES = {"type": "ephemeral"}
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
CODE = {"type": "code_execution_20250825", "name": "code_execution"}


def body(**fields: Any) -> dict[str, Any]:
    """The least body of `/v1/messages` with these fields; DROP takes one away."""
    whole = {"model": "echo", "max_tokens": 64, "messages": [user("Hi")]} | fields
    return {key: value for key, value in whole.items() if value is not DROP}


def completion(**fields: Any) -> dict[str, Any]:
    whole = {"model": "echo", "prompt": "\n\nHuman: Hi\n\nAssistant:", "max_tokens_to_sample": 64} | fields
    return {key: value for key, value in whole.items() if value is not DROP}


def says(*messages: Any, **fields: Any) -> dict[str, Any]:
    """A body with these messages."""
    return body(messages=list(messages), **fields)


def blocks(*content: Any, **fields: Any) -> dict[str, Any]:
    """A body whose one user message holds these blocks."""
    return says(user(list(content)), **fields)


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def system(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "system", "content": content} | fields


def text(words: Any = "Hi", **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": words} | fields


def tool(name: Any = "weather", **fields: Any) -> dict[str, Any]:
    whole = {"name": name, "input_schema": SCHEMA} | fields
    return {key: value for key, value in whole.items() if value is not DROP}


def call(id: str = "toolu_1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_use", "id": id, "name": "weather", "input": {}} | fields


def result(id: str = "toolu_1", **fields: Any) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id} | fields


def server_call(id: str = "srvtoolu_1", name: str = "web_search") -> dict[str, Any]:
    return {"type": "server_tool_use", "id": id, "name": name, "input": {"query": "x"}}


def search_answer(id: str = "srvtoolu_1") -> dict[str, Any]:
    return {"type": "web_search_tool_result", "tool_use_id": id, "content": []}


def thought(words: str = "Hm.") -> dict[str, Any]:
    return {"type": "thinking", "thinking": words, "signature": "c2ln"}


def document(**fields: Any) -> dict[str, Any]:
    source = {"type": "text", "media_type": "text/plain", "data": "The sky is blue."}
    return {"type": "document", "source": source} | fields


def search_result(**fields: Any) -> dict[str, Any]:
    return {"type": "search_result", "source": "https://a.example", "title": "A", "content": [text()]} | fields


def encode(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()
