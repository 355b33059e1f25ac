"""The body of `POST /v1/chat/completions`, as far as this server understands it. Fields that are not here are ignored.

null stands for an absent field everywhere, as OpenAI's clients take it.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, Tag

from antiphon.wire.fields import (
    COMPOUND,
    Bool,
    Int,
    Items,
    JsonObject,
    NonEmpty,
    Number,
    ScalarText,
    WireModel,
    problem,
)


class ImageUrl(WireModel, defer_build=True):
    url: NonEmpty


class Part(WireModel, defer_build=True):
    """A part of a message. Parts of other types than text, refusal and image_url are left out."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | None = None


Content = Annotated[
    ScalarText | Annotated[Items[Part], Tag(COMPOUND)],
    Field(union_mode="left_to_right"),
]


class FunctionCall(WireModel, defer_build=True):
    name: str
    arguments: str = ""


class ToolCall(WireModel, defer_build=True):
    id: str
    type: Literal["function"] = "function"
    function: FunctionCall


_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def _check_role(role: str) -> str:
    if role not in _ROLES:
        raise problem(f"Input should be one of {', '.join(_ROLES)}")
    return role


class ChatMessage(WireModel, defer_build=True):
    role: Annotated[str, AfterValidator(_check_role)]
    content: Content | None = None
    tool_calls: Items[ToolCall] | None = None
    function_call: FunctionCall | None = None
    tool_call_id: str | None = None


class Function(WireModel, defer_build=True):
    name: str
    description: str | None = None
    parameters: JsonObject | None = None
    strict: Bool | None = None


class Tool(WireModel, defer_build=True):
    type: Literal["function"]
    function: Function


class Named(WireModel, defer_build=True):
    name: str


class NamedTool(WireModel, defer_build=True):
    type: Literal["function"]
    function: Named


ToolChoice = Annotated[
    Annotated[Literal["none", "auto", "required"], Tag("<scalar>")] | Annotated[NamedTool, Tag(COMPOUND)],
    Field(union_mode="left_to_right"),
]
FunctionChoice = Annotated[
    Annotated[Literal["none", "auto"], Tag("<scalar>")] | Annotated[Named, Tag(COMPOUND)],
    Field(union_mode="left_to_right"),
]


class SchemaFormat(WireModel, defer_build=True):
    schema_: Annotated[JsonObject | None, Field(alias="schema")] = None
    strict: Bool | None = None


class AnyFormat(WireModel, defer_build=True):
    type: Literal["text", "json_object"]


class JsonSchema(WireModel, defer_build=True):
    type: Literal["json_schema"]
    json_schema: SchemaFormat


ResponseFormat = Annotated[AnyFormat | JsonSchema, Field(discriminator="type")]


class StreamOptions(WireModel, defer_build=True):
    include_usage: Bool | None = None


Stops = Annotated[
    ScalarText | Annotated[Items[str], Tag(COMPOUND)],
    Field(union_mode="left_to_right"),
]


def _check_one(num_choices: int | None) -> int | None:
    if num_choices not in (None, 1):
        raise problem("only 1 is supported by this server")
    return num_choices


class ChatRequest(WireModel, defer_build=True):
    model: NonEmpty
    messages: Annotated[Items[ChatMessage], Field(min_length=1)]
    max_tokens: Annotated[Int, Field(ge=1)] | None = None
    max_completion_tokens: Annotated[Int, Field(ge=1)] | None = None
    temperature: Annotated[Number, Field(ge=0)] | None = None
    top_p: Annotated[Number, Field(ge=0, le=1)] | None = None
    n: Annotated[Int | None, AfterValidator(_check_one)] = None
    stop: Stops | None = None
    stream: Bool | None = None
    stream_options: StreamOptions | None = None
    tools: Items[Tool] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: Bool | None = None
    functions: Items[Function] | None = None
    function_call: FunctionChoice | None = None
    response_format: ResponseFormat | None = None
    thinking: JsonObject | None = None

    @property
    def is_legacy(self) -> bool:
        """Whether it offers `functions`, and wants their calls told as `function_call`."""
        return not self.tools and bool(self.functions)
