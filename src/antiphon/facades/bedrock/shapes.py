"""The bodies of Converse and CountTokens (`bedrock-runtime`), as far as this server understands them.

Of a union, exactly one member is there. Blobs stay in base64, as they came.
"""

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel

from antiphon.wire.fields import Bool, Int, Items, JsonObject, NonEmpty, Number, WireModel, problem


class Shape(WireModel, defer_build=True):
    model_config = ConfigDict(alias_generator=to_camel)


class Union(Shape):
    @model_validator(mode="after")
    def _check_one(self) -> "Union":
        if len(self._present()) != 1:
            names = ", ".join(str(field.alias) for field in type(self).model_fields.values())
            raise problem(f"must have exactly one of the members {names}")
        return self

    def member(self) -> tuple[str, Any]:
        """(the member that is there, its value)."""
        (name,) = self._present()
        return name, getattr(self, name)

    def _present(self) -> list[str]:
        return [name for name in type(self).model_fields if getattr(self, name) is not None]


class CachePoint(Shape):
    type: Literal["default"]
    ttl: Literal["5m", "1h"] | None = None


class Text(Shape):
    text: str


class Source(Union):
    """Of an image or a document."""

    bytes: str | None = None
    s3_location: JsonObject | None = None
    text: str | None = None
    content: Items[Text] | None = None


class Image(Shape):
    format: Literal["png", "jpeg", "gif", "webp"]
    source: Source


class Citations(Shape):
    enabled: Bool


class Document(Shape):
    format: Literal["pdf", "csv", "doc", "docx", "xls", "xlsx", "html", "txt", "md"] = "txt"
    name: NonEmpty
    source: Source
    context: str | None = None
    citations: Citations | None = None


class SearchResult(Shape):
    source: str
    title: str
    content: Items[Text]
    citations: Citations | None = None


class ToolUse(Shape):
    tool_use_id: str
    name: str
    input: JsonObject


class ToolResultPart(Union):
    text: str | None = None
    json_: Annotated[Any, Field(alias="json")] = None
    image: Image | None = None
    document: Document | None = None
    search_result: SearchResult | None = None
    video: JsonObject | None = None


class ToolResult(Shape):
    tool_use_id: str
    content: Items[ToolResultPart]
    status: Literal["success", "error"] | None = None


class GuardContent(Union):
    text: Text | None = None
    image: Image | None = None


class ReasoningText(Shape):
    text: str
    signature: str | None = None


class Reasoning(Union):
    reasoning_text: ReasoningText | None = None
    redacted_content: str | None = None


class Span(Shape):
    document_index: Int = 0
    search_result_index: Int = 0
    start: Int = 0
    end: Int = 0


class Location(Union):
    document_char: Span | None = None
    document_page: Span | None = None
    document_chunk: Span | None = None
    search_result_location: Span | None = None
    web: JsonObject | None = None


class Citation(Shape):
    title: str | None = None
    source: str | None = None
    source_content: Items[Text] = Field(default_factory=list[Text])
    location: Location


class CitationsContent(Shape):
    content: Items[Text]
    citations: Items[Citation] = Field(default_factory=list[Citation])


class Block(Union):
    text: str | None = None
    image: Image | None = None
    document: Document | None = None
    tool_use: ToolUse | None = None
    tool_result: ToolResult | None = None
    reasoning_content: Reasoning | None = None
    citations_content: CitationsContent | None = None
    search_result: SearchResult | None = None
    guard_content: GuardContent | None = None
    cache_point: CachePoint | None = None
    video: JsonObject | None = None
    audio: JsonObject | None = None


class SystemBlock(Union):
    text: str | None = None
    guard_content: GuardContent | None = None
    cache_point: CachePoint | None = None


class Turn(Shape):
    role: str
    content: Items[Block]


class InputSchema(Shape):
    json_: Annotated[JsonObject, Field(alias="json")]


class ToolSpec(Shape):
    name: str
    description: str | None = None
    input_schema: InputSchema
    strict: Bool | None = None


class Tool(Union):
    tool_spec: ToolSpec | None = None
    cache_point: CachePoint | None = None
    system_tool: JsonObject | None = None


class NamedTool(Shape):
    name: str


class ToolChoice(Union):
    auto: JsonObject | None = None
    any: JsonObject | None = None
    tool: NamedTool | None = None


class ToolConfig(Shape):
    tools: Items[Tool]
    tool_choice: ToolChoice | None = None


class InferenceConfig(Shape):
    max_tokens: Int | None = None
    temperature: Number | None = None
    top_p: Number | None = None
    stop_sequences: Items[str] | None = None


class JsonSchema(Shape):
    schema_: Annotated[str, Field(alias="schema")]
    """The schema is JSON in a string."""


class Structure(Shape):
    json_schema: JsonSchema


class TextFormat(Shape):
    type: Literal["json_schema"]
    structure: Structure


class OutputConfig(Shape):
    text_format: TextFormat | None = None
    effort: str | None = None


class Latency(Shape):
    latency: Literal["standard", "optimized"] = "standard"


class ServiceTier(Shape):
    type: Literal["priority", "default", "flex", "reserved"]


class PromptShape(Shape):
    """What Converse and CountTokens share."""

    messages: Items[Turn] = Field(default_factory=list[Turn])
    system: Items[SystemBlock] | None = None
    tool_config: ToolConfig | None = None
    additional_model_request_fields: JsonObject | None = None


class Converse(PromptShape):
    inference_config: InferenceConfig | None = None
    output_config: OutputConfig | None = None
    additional_model_response_field_paths: Annotated[Items[str], Field(max_length=10)] | None = None
    guardrail_config: JsonObject | None = None
    performance_config: Latency | None = None
    service_tier: ServiceTier | None = None
    prompt_variables: JsonObject | None = None
    request_metadata: JsonObject | None = None


class InvokeBody(Shape):
    body: str


class Counted(Union):
    invoke_model: InvokeBody | None = None
    converse: PromptShape | None = None


class CountTokens(Shape):
    input: Counted
