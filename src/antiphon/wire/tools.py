"""Tools that a request offers, and which of them the model must call (Messages API, "Tools", "Tool choice")."""

import re
from typing import Annotated, Any, Literal, cast

from pydantic import AfterValidator, BeforeValidator, Field

from antiphon.wire.content import Cacheable, CacheControl, CitationsConfig
from antiphon.wire.fields import Bool, Int, Items, JsonObject, Named, Omittable, WireModel, problem
from antiphon.wire.results import McpTool

AllowedCaller = Literal["direct", "code_execution_20250825", "code_execution_20260120", "code_execution_20260521"]
_PROPERTY_KEY = re.compile(r"[a-zA-Z0-9_.-]{1,64}")


def _check_schema(schema: JsonObject) -> JsonObject:
    """What the API checks of every tool's schema; the rest of JSON Schema is checked where it is compiled."""
    if "type" not in schema:
        raise problem("Field required", "type")
    if schema["type"] != "object":
        raise problem("Input should be 'object'", "type")
    _check_properties(schema.get("properties"))
    _check_required(schema.get("required"))
    return schema


def _check_properties(properties: object) -> None:
    if properties is None:
        return
    if not isinstance(properties, dict):
        raise problem("Input should be an object", "properties")
    for key in cast(JsonObject, properties):
        if not _PROPERTY_KEY.fullmatch(key):
            raise problem("Property keys should match pattern '^[a-zA-Z0-9_.-]{1,64}$'", "properties")


def _check_required(required: object) -> None:
    if required is None:
        return
    if not isinstance(required, list) or not all(isinstance(name, str) for name in cast(list[object], required)):
        raise problem("JSON schema is invalid. `required` must be an array of strings.")


InputSchema = Annotated[JsonObject, AfterValidator(_check_schema)]


class ToolOptions(Cacheable):
    """What every tool but the toolsets may say."""

    strict: Omittable[Bool] = None
    defer_loading: Omittable[Bool] = None
    allowed_callers: Omittable[Items[AllowedCaller]] = None


class CustomTool(ToolOptions):
    type: Literal["custom"]
    name: Annotated[str, Field(min_length=1, pattern=r"^[a-zA-Z0-9_-]{1,128}$")]
    description: Omittable[str] = None
    input_schema: InputSchema
    input_examples: Omittable[Items[JsonObject]] = None
    eager_input_streaming: Bool | None = None


class ClientTool(ToolOptions):
    """A tool whose schema the model knows, run by the client."""

    input_examples: Omittable[Items[JsonObject]] = None


class BashTool(ClientTool):
    type: Literal["bash_20250124", "bash_20241022"]
    name: Literal["bash"]


class TextEditorTool(ClientTool):
    """The older editor, known to the model as `str_replace_editor`."""

    type: Literal["text_editor_20250124", "text_editor_20241022"]
    name: Literal["str_replace_editor"]


class TextEditorTool20250429(ClientTool):
    type: Literal["text_editor_20250429"]
    name: Literal["str_replace_based_edit_tool"]


class TextEditorTool20250728(ClientTool):
    type: Literal["text_editor_20250728"]
    name: Literal["str_replace_based_edit_tool"]
    max_characters: Annotated[Int, Field(ge=1)] | None = None


class MemoryTool(ClientTool):
    type: Literal["memory_20250818"]
    name: Literal["memory"]


class ComputerTool(ClientTool):
    type: Literal["computer_20241022", "computer_20250124"]
    name: Literal["computer"]
    display_width_px: Annotated[Int, Field(ge=1)]
    display_height_px: Annotated[Int, Field(ge=1)]
    display_number: Annotated[Int, Field(ge=0)] | None = None


class ComputerTool20251124(ClientTool):
    type: Literal["computer_20251124"]
    name: Literal["computer"]
    display_width_px: Annotated[Int, Field(ge=1)]
    display_height_px: Annotated[Int, Field(ge=1)]
    display_number: Annotated[Int, Field(ge=0)] | None = None
    enable_zoom: Omittable[Bool] = None


class MemberConfig(WireModel):
    """One member of a toolset, switched on or off, loaded now or later."""

    enabled: Bool | None = None
    defer_loading: Bool | None = None


POINTER_MEMBERS = (
    "double_click hold_key key left_click left_click_drag left_mouse_down left_mouse_up middle_click mouse_move "
    "right_click screenshot scroll triple_click type wait zoom"
).split()
COMPUTER_MEMBERS = frozenset([*POINTER_MEMBERS, "cursor_position"])
BROWSER_MEMBERS = frozenset(
    [
        *POINTER_MEMBERS,
        *"close_tab file_upload find form_input get_page_text hover javascript_exec list_tabs navigate new_tab".split(),
        *"read_console read_network read_page scroll_to switch_tab".split(),
    ]
)


def _members_of(known: frozenset[str]) -> AfterValidator:
    def check(configs: dict[str, MemberConfig | None]) -> dict[str, MemberConfig | None]:
        for name in configs:
            if name not in known:
                raise problem("Extra inputs are not permitted", name)
        return configs

    return AfterValidator(check)


class ComputerToolset(Cacheable):
    type: Literal["computer_toolset_20260801"]
    configs: Annotated[Named[MemberConfig | None], _members_of(COMPUTER_MEMBERS)] | None = None


class BrowserToolset(Cacheable):
    type: Literal["browser_toolset_20260801"]
    configs: Annotated[Named[MemberConfig | None], _members_of(BROWSER_MEMBERS)] | None = None


class UserLocation(WireModel):
    type: Literal["approximate"]
    city: str | None = None
    region: str | None = None
    country: Annotated[str, Field(min_length=2, max_length=2)] | None = None
    timezone: str | None = None


class WebTool(ToolOptions):
    """What web search and web fetch have in common."""

    max_uses: Annotated[Int, Field(gt=0)] | None = None
    allowed_domains: Items[str] | None = None
    blocked_domains: Items[str] | None = None


class WebSearchTool(WebTool):
    type: Literal["web_search_20250305", "web_search_20260209"]
    name: Literal["web_search"]
    user_location: UserLocation | None = None


class WebSearchTool20260318(WebTool):
    type: Literal["web_search_20260318"]
    name: Literal["web_search"]
    user_location: UserLocation | None = None
    response_inclusion: Omittable[Literal["full", "excluded"]] = None


class NamedTool(WireModel):
    type: Literal["tool_reference"]
    name: str


class UrlsOfAllOrNone(WireModel):
    type: Literal["all", "none"]


class UrlsOfSome(WireModel):
    type: Literal["only", "except"]
    tools: Items[NamedTool]


UrlsOf = Annotated[UrlsOfAllOrNone | UrlsOfSome, Field(discriminator="type")]


class UrlSources(WireModel):
    client_tool_results: Omittable[UrlsOf] = None
    server_tool_results: Omittable[UrlsOf] = None
    user_input: Omittable[UrlsOfAllOrNone] = None


class WebFetchTool(WebTool):
    type: Literal["web_fetch_20250910", "web_fetch_20260209"]
    name: Literal["web_fetch"]
    citations: CitationsConfig | None = None
    max_content_tokens: Annotated[Int, Field(gt=0)] | None = None
    url_sources: UrlSources | None = None


class WebFetchTool20260309(WebTool):
    type: Literal["web_fetch_20260309"]
    name: Literal["web_fetch"]
    citations: CitationsConfig | None = None
    max_content_tokens: Annotated[Int, Field(gt=0)] | None = None
    url_sources: UrlSources | None = None
    use_cache: Omittable[Bool] = None


class WebFetchTool20260318(WebTool):
    type: Literal["web_fetch_20260318"]
    name: Literal["web_fetch"]
    citations: CitationsConfig | None = None
    max_content_tokens: Annotated[Int, Field(gt=0)] | None = None
    url_sources: UrlSources | None = None
    use_cache: Omittable[Bool] = None
    response_inclusion: Omittable[Literal["full", "excluded"]] = None


class CodeExecutionTool(ToolOptions):
    type: Literal[
        "code_execution_20250522", "code_execution_20250825", "code_execution_20260120", "code_execution_20260521"
    ]
    name: Literal["code_execution"]


class ToolSearchRegex(ToolOptions):
    type: Literal["tool_search_tool_regex", "tool_search_tool_regex_20251119"]
    name: Literal["tool_search_tool_regex"]


class ToolSearchBm25(ToolOptions):
    type: Literal["tool_search_tool_bm25", "tool_search_tool_bm25_20251119"]
    name: Literal["tool_search_tool_bm25"]


class AdvisorTool(ToolOptions):
    type: Literal["advisor_20260301"]
    name: Literal["advisor"]
    model: Annotated[str, Field(min_length=1)]
    caching: CacheControl | None = None
    max_tokens: Annotated[Int, Field(ge=1)] | None = None
    max_uses: Annotated[Int, Field(ge=1)] | None = None


class McpToolConfig(WireModel):
    enabled: Omittable[Bool] = None
    defer_loading: Omittable[Bool] = None


class McpToolset(Cacheable):
    type: Literal["mcp_toolset"]
    mcp_server_name: str
    default_config: Omittable[McpToolConfig] = None
    configs: Named[McpToolConfig] | None = None
    tools: Items[McpTool] | None = None


def _with_type(tool: Any) -> Any:
    """A tool without a type, or with null for it, is a custom one."""
    if isinstance(tool, dict) and cast(JsonObject, tool).get("type") is None:
        return {**cast(JsonObject, tool), "type": "custom"}
    return tool  # pyright: ignore[reportUnknownVariableType]


Tool = Annotated[
    BashTool
    | BrowserToolset
    | CodeExecutionTool
    | ComputerToolset
    | CustomTool
    | MemoryTool
    | TextEditorTool
    | TextEditorTool20250429
    | TextEditorTool20250728
    | ToolSearchBm25
    | ToolSearchRegex
    | WebFetchTool
    | WebFetchTool20260309
    | WebFetchTool20260318
    | WebSearchTool
    | WebSearchTool20260318
    | AdvisorTool
    | ComputerTool
    | ComputerTool20251124
    | McpToolset,
    Field(discriminator="type"),
    BeforeValidator(_with_type),
]


class ToolChoiceAuto(WireModel):
    type: Literal["auto"]
    disable_parallel_tool_use: Omittable[Bool] = None


class ToolChoiceAny(WireModel):
    type: Literal["any"]
    disable_parallel_tool_use: Omittable[Bool] = None


class ToolChoiceTool(WireModel):
    type: Literal["tool"]
    name: str
    disable_parallel_tool_use: Omittable[Bool] = None


class ToolChoiceNone(WireModel):
    type: Literal["none"]


ToolChoice = Annotated[
    ToolChoiceAny | ToolChoiceAuto | ToolChoiceNone | ToolChoiceTool,
    Field(discriminator="type"),
]


def name_of(tool: Tool) -> str | None:
    """What the model calls the tool; None for toolsets, whose members have the names."""
    return getattr(tool, "name", None)


def _check_tools(tools: list[Tool]) -> list[Tool]:
    names = [name for tool in tools if (name := name_of(tool)) is not None]
    if len(set(names)) != len(names):
        raise problem("Tool names must be unique.")
    return tools


Tools = Annotated[Items[Tool], AfterValidator(_check_tools)]
