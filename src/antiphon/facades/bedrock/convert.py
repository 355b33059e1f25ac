"""A Converse request becomes the body of a Messages request: what is wrong with it is then found where it always is."""

import json
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from antiphon.core.errors import invalid
from antiphon.facades.bedrock.shapes import (
    Block,
    CachePoint,
    Citation,
    CitationsContent,
    Converse,
    Document,
    GuardContent,
    Image,
    PromptShape,
    Reasoning,
    SearchResult,
    Source,
    SystemBlock,
    Text,
    ToolChoice,
    ToolConfig,
    ToolResult,
    ToolResultPart,
    ToolSpec,
    ToolUse,
    Union,
)
from antiphon.wire.decode import parse_object

Json = dict[str, Any]
_TEXT_FORMATS = ("txt", "md", "csv", "html")
_OWN_FIELDS = ("model", "stream", "messages", "system")


def body_of(request: PromptShape) -> Json:
    """The body without a model. Raises 400 for what this server has no counterpart for."""
    body: Json = {"messages": [{"role": turn.role, "content": _content(turn.content)} for turn in request.messages]}
    if request.system is not None:
        body["system"] = _content(request.system)
    if request.tool_config:
        body |= _tools(request.tool_config)
    if isinstance(request, Converse):
        _check_served(request)
        body |= _inference(request) | _output(request)
    return _merged(body, request.additional_model_request_fields or {})


def _check_served(request: Converse) -> None:
    if request.guardrail_config is not None:
        raise invalid("guardrailConfig: guardrails are not supported by this server.")
    if request.prompt_variables:
        raise invalid("promptVariables: prompts of Prompt management are not supported by this server.")
    if request.performance_config and request.performance_config.latency != "standard":
        raise invalid("performanceConfig.latency: only 'standard' is supported by this server.")
    if request.service_tier and request.service_tier.type != "default":
        raise invalid("serviceTier.type: only 'default' is supported by this server.")


def _merged(body: Json, more: Json) -> Json:
    """The fields that only the model knows; its own tools stand beside those of the request."""
    more = dict(more)
    if isinstance(more.get("tools"), list) and "tools" in body:
        body["tools"] = [*body["tools"], *more.pop("tools")]
    for name in more:
        if name in body or name in _OWN_FIELDS:
            raise invalid(f"additionalModelRequestFields.{name[:100]}: it conflicts with a field of the request.")
    return body | more


def _inference(request: Converse) -> Json:
    config = request.inference_config
    return config.model_dump(exclude_none=True) if config else {}


def _output(request: Converse) -> Json:
    config, output = request.output_config, Json()
    if config and config.effort is not None:
        output["effort"] = config.effort
    if config and config.text_format:
        schema = parse_object(config.text_format.structure.json_schema.schema_.encode("utf-8", "replace"))
        output["format"] = {"type": "json_schema", "schema": schema}
    return {"output_config": output} if output else {}


def _tools(config: ToolConfig) -> Json:
    tools = _listed(config.tools, _TOOLS)
    return {"tools": tools} | ({"tool_choice": _choice(config.tool_choice)} if config.tool_choice else {})


def _choice(choice: ToolChoice) -> Json:
    kind, value = choice.member()
    return {"type": "tool", "name": value.name} if kind == "tool" else {"type": kind}


def _tool(spec: ToolSpec) -> Json:
    named = spec.model_dump(include={"name", "description", "strict"}, exclude_none=True)
    return named | {"input_schema": spec.input_schema.json_}


def _content(blocks: Sequence[Block | SystemBlock | ToolResultPart]) -> list[Json]:
    return _listed(blocks, _BLOCKS)


def _listed(items: Sequence[Union], makers: dict[str, Callable[[Any], Json]]) -> list[Json]:
    """Each item with its maker; a cache point is told of the one before it."""
    made: list[Json] = []
    for item in items:
        kind, value = item.member()
        if kind != "cache_point":
            made.append(makers[kind](value))
        elif made:
            made[-1]["cache_control"] = _cache_control(value)
        else:
            raise invalid("cachePoint: there is nothing before it that could be cached.")
    return made


def _cache_control(point: CachePoint) -> Json:
    return {"type": "ephemeral"} | ({"ttl": point.ttl} if point.ttl else {})


def _text(text: str) -> Json:
    return {"type": "text", "text": text}


def _texts(parts: Iterable[Text]) -> list[Json]:
    return [_text(part.text) for part in parts]


def _image(image: Image) -> Json:
    kind, value = image.source.member()
    if kind != "bytes":
        raise _unserved_source("image", kind)
    return {"type": "image", "source": {"type": "base64", "media_type": f"image/{image.format}", "data": value}}


def _document(document: Document) -> Json:
    more = document.model_dump(include={"context", "citations"}, exclude_none=True)
    return {"type": "document", "title": document.name, "source": _document_source(document)} | more


def _document_source(document: Document) -> Json:
    kind, value = document.source.member()
    if kind == "s3_location":
        raise _unserved_source("document", kind)
    if kind == "content":
        return {"type": "content", "content": _texts(value)}
    if kind == "bytes" and document.format == "pdf":
        return {"type": "base64", "media_type": "application/pdf", "data": value}
    if document.format not in _TEXT_FORMATS:
        raise invalid(f"document.format: documents of format '{document.format}' are not supported by this server.")
    text = value if kind == "text" else _decoded(document.source, "document.source.bytes")
    return {"type": "text", "media_type": "text/plain", "data": text}


def _decoded(source: Source, path: str) -> str:
    return _utf8(source.bytes or "", path)


def _utf8(blob: str, path: str) -> str:
    try:
        return b64decode(blob, validate=True).decode()
    except ValueError:
        raise invalid(f"{path}: must be UTF-8 text in base64") from None


def _unserved_source(what: str, kind: str) -> Exception:
    name = {"s3_location": "s3Location"}.get(kind, kind)
    return invalid(f"{what}.source.{name}: only content in the request itself is supported by this server.")


def _tool_use(use: ToolUse) -> Json:
    return {"type": "tool_use", "id": use.tool_use_id, "name": use.name, "input": use.input}


def _tool_result(result: ToolResult) -> Json:
    made: Json = {"type": "tool_result", "tool_use_id": result.tool_use_id, "content": _content(result.content)}
    return made | ({"is_error": True} if result.status == "error" else {})


def _json_text(value: Any) -> Json:
    return _text(json.dumps(value, ensure_ascii=False))


def _reasoning(reasoning: Reasoning) -> Json:
    kind, value = reasoning.member()
    if kind == "redacted_content":
        return {"type": "redacted_thinking", "data": _utf8(value, "reasoningContent.redactedContent")}
    signature = {} if value.signature is None else {"signature": value.signature}
    return {"type": "thinking", "thinking": value.text} | signature


def _search_result(result: SearchResult) -> Json:
    more = result.model_dump(include={"citations"}, exclude_none=True)
    own = {"source": result.source, "title": result.title, "content": _texts(result.content)}
    return {"type": "search_result"} | own | more


def _guarded(content: GuardContent) -> Json:
    """Without a guardrail it is content like any other."""
    kind, value = content.member()
    return _text(value.text) if kind == "text" else _image(value)


def _cited(content: CitationsContent) -> Json:
    text = _text("".join(part.text for part in content.content))
    return text | {"citations": [_citation(citation) for citation in content.citations]}


def _citation(citation: Citation) -> Json:
    kind, span = citation.location.member()
    if kind not in _LOCATIONS:
        raise invalid("citationsContent.citations: citations of web pages are not supported by this server.")
    type_, start, end = _LOCATIONS[kind]
    own = {"type": type_, "cited_text": "".join(part.text for part in citation.source_content)}
    own |= {start: span.start, end: span.end}
    if kind == "search_result_location":
        place = {"search_result_index": span.search_result_index, "source": citation.source or ""}
        return own | place | {"title": citation.title}
    return own | {"document_index": span.document_index, "document_title": citation.title}


_LOCATIONS = {
    "document_char": ("char_location", "start_char_index", "end_char_index"),
    "document_page": ("page_location", "start_page_number", "end_page_number"),
    "document_chunk": ("content_block_location", "start_block_index", "end_block_index"),
    "search_result_location": ("search_result_location", "start_block_index", "end_block_index"),
}


def _unserved(what: str) -> Callable[[Any], Json]:
    def refuse(value: Any) -> Json:
        raise invalid(f"{what}: content of this kind is not supported by this server.")

    return refuse


_BLOCKS: dict[str, Callable[[Any], Json]] = {
    "text": _text,
    "json_": _json_text,
    "image": _image,
    "document": _document,
    "tool_use": _tool_use,
    "tool_result": _tool_result,
    "reasoning_content": _reasoning,
    "citations_content": _cited,
    "search_result": _search_result,
    "guard_content": _guarded,
    "video": _unserved("video"),
    "audio": _unserved("audio"),
}
_TOOLS: dict[str, Callable[[Any], Json]] = {"tool_spec": _tool, "system_tool": _unserved("systemTool")}
