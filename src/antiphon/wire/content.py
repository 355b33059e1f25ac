"""Content blocks that a client writes or sends back, their sources and citations (Messages API, "Content blocks").

What a server tool answered lives in `results.py`; the unions of what may stand where live in `blocks.py`.
"""

from functools import cached_property
from hashlib import sha256
from typing import Annotated, ClassVar, Literal

from pydantic import Field, Tag

from antiphon.wire.fields import COMPOUND, Bool, Int, Items, JsonObject, Omittable, OneTag, ScalarText, WireModel

Id = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]+$")]
ServerId = Annotated[str, Field(pattern=r"^srvtoolu_[a-zA-Z0-9_]+$")]
ToolUseName = Annotated[str, Field(min_length=1, max_length=200)]


class Ephemeral(WireModel):
    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] = "5m"


CacheControl = Annotated[Ephemeral, OneTag("ephemeral")]


class Cacheable(WireModel):
    """Anything that may carry a cache breakpoint."""

    cache_control: CacheControl | None = None


class Uncacheable(WireModel):
    """A block that may not; it answers None all the same, so that nobody has to ask which kind it is."""

    cache_control: ClassVar[None] = None


class CitationsConfig(WireModel):
    enabled: Omittable[Bool] = None


class CharLocation(WireModel):
    type: Literal["char_location"]
    cited_text: str
    document_index: Annotated[Int, Field(ge=0)]
    document_title: str | None
    start_char_index: Annotated[Int, Field(ge=0)]
    end_char_index: Int
    file_id: str | None = None


class PageLocation(WireModel):
    type: Literal["page_location"]
    cited_text: str
    document_index: Annotated[Int, Field(ge=0)]
    document_title: str | None
    start_page_number: Annotated[Int, Field(ge=1)]
    end_page_number: Int
    file_id: str | None = None


class ContentBlockLocation(WireModel):
    type: Literal["content_block_location"]
    cited_text: str
    document_index: Annotated[Int, Field(ge=0)]
    document_title: str | None
    start_block_index: Annotated[Int, Field(ge=0)]
    end_block_index: Int
    file_id: str | None = None


class WebSearchResultLocation(WireModel):
    type: Literal["web_search_result_location"]
    cited_text: str
    encrypted_index: str
    title: str | None
    url: str


class SearchResultLocation(WireModel):
    type: Literal["search_result_location"]
    cited_text: str
    search_result_index: Annotated[Int, Field(ge=0)]
    source: str
    title: str | None
    start_block_index: Annotated[Int, Field(ge=0)]
    end_block_index: Int


Citation = Annotated[
    CharLocation | PageLocation | ContentBlockLocation | WebSearchResultLocation | SearchResultLocation,
    Field(discriminator="type"),
]


class TextBlock(Cacheable):
    type: Literal["text"]
    text: str
    citations: Items[Citation] | None = None


_PIECE = 1 << 20


def _digest(source: "Base64Image | Base64Pdf") -> str:
    """Piece by piece: memory for a copy of a long text would take longer to get than its digest."""
    digest, text = sha256(), source.data
    for start in range(0, len(text), _PIECE):
        digest.update(text[start : start + _PIECE].encode())
    return digest.hexdigest()


class Base64Image(WireModel):
    type: Literal["base64"]
    media_type: Literal["image/jpeg", "image/png", "image/gif", "image/webp"]
    data: str
    digest: ClassVar = cached_property(_digest)
    """Of `data` as it was sent. It takes a while, so it is done once."""


class Base64Pdf(WireModel):
    type: Literal["base64"]
    media_type: Literal["application/pdf"]
    data: str
    digest: ClassVar = cached_property(_digest)


class UrlSource(WireModel):
    type: Literal["url"]
    url: str


class FileSource(WireModel):
    type: Literal["file"]
    file_id: str


class ImageTransformations(WireModel):
    oversized_image: Omittable[Literal["downsize", "error"]] = None


class ImageBlock(Cacheable):
    type: Literal["image"]
    source: Annotated[Base64Image | UrlSource | FileSource, Field(discriminator="type")]
    transformations: ImageTransformations | None = None


class PlainText(WireModel):
    type: Literal["text"]
    media_type: Literal["text/plain"]
    data: str


DocumentPart = Annotated[TextBlock | ImageBlock, Field(discriminator="type")]
DocumentParts = Annotated[Items[DocumentPart], Tag(COMPOUND)]


class ContentSource(WireModel):
    type: Literal["content"]
    content: Annotated[ScalarText | DocumentParts, Field(union_mode="left_to_right")]


class DocumentBlock(Cacheable):
    type: Literal["document"]
    source: Annotated[
        Base64Pdf | PlainText | ContentSource | UrlSource | FileSource,
        Field(discriminator="type"),
    ]
    title: str | None = None
    context: str | None = None
    citations: CitationsConfig | None = None


class SearchResultBlock(Cacheable):
    type: Literal["search_result"]
    source: str
    title: str
    content: Items[TextBlock]
    citations: Omittable[CitationsConfig] = None


class ThinkingBlock(Uncacheable):
    type: Literal["thinking"]
    thinking: str
    signature: str


class RedactedThinkingBlock(Uncacheable):
    type: Literal["redacted_thinking"]
    data: str


class DirectCaller(WireModel):
    type: Literal["direct"]


class CodeExecutionCaller(WireModel):
    type: Literal["code_execution_20250825", "code_execution_20260120", "code_execution_20260521"]
    tool_id: str


Caller = Annotated[DirectCaller | CodeExecutionCaller, Field(discriminator="type")]


class ToolUseBlock(Cacheable):
    type: Literal["tool_use"]
    id: Id
    name: ToolUseName
    input: JsonObject
    caller: Omittable[Caller] = None
    toolset_name: str | None = None


class ToolReferenceBlock(Cacheable):
    type: Literal["tool_reference"]
    tool_name: str


class BrowserTab(WireModel):
    tab_id: str
    title: str
    url: str
    active: Omittable[Bool] = None


class TabOpened(WireModel):
    type: Literal["tab_opened"]
    tab_id: str


class DownloadStarted(WireModel):
    type: Literal["download_started"]
    download_id: str
    url: str


class DownloadCompleted(WireModel):
    type: Literal["download_completed"]
    download_id: str
    url: str
    path: str | None = None
    size_bytes: Int | None = None


class DownloadFailed(WireModel):
    type: Literal["download_failed"]
    download_id: str
    url: str
    error: str | None = None


BrowserChange = Annotated[
    TabOpened | DownloadStarted | DownloadCompleted | DownloadFailed,
    Field(discriminator="type"),
]


class BrowserStateBlock(Cacheable):
    type: Literal["browser_state"]
    tabs: Items[BrowserTab]
    state_changes: Items[BrowserChange] | None = None


ToolResultPart = Annotated[
    DocumentBlock | ImageBlock | SearchResultBlock | TextBlock | ToolReferenceBlock | BrowserStateBlock,
    Field(discriminator="type"),
]
ToolResultParts = Annotated[Items[ToolResultPart], Tag(COMPOUND)]


class ToolResultBlock(Cacheable):
    type: Literal["tool_result"]
    tool_use_id: Id
    content: Annotated[ScalarText | ToolResultParts, Field(union_mode="left_to_right")] = ""
    is_error: Omittable[Bool] = None
    toolset_name: str | None = None


class ContainerUploadBlock(Cacheable):
    type: Literal["container_upload"]
    file_id: str
