"""Documents and search results as a model reads them, with a label before each chunk of those that it may cite."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from antiphon.turn.attachments import Attachments, Page, Picture, key_of
from antiphon.turn.citations import Source, SourceKind, Sources, source_of
from antiphon.turn.marks import label
from antiphon.wire.content import (
    CitationsConfig,
    ContentSource,
    DocumentBlock,
    ImageBlock,
    PlainText,
    SearchResultBlock,
    TextBlock,
)

HOW_TO_CITE = (
    "Cite your sources: copy the mark in brackets that stands before the sentence you used, and put it at the end of "
    'your statement. Example of the form: "... [s0]"'
)
"""What a model is told at the end of each turn from the first source on that it may cite."""


class _Body(NamedTuple):
    """What is in a document. Each part is a page, a block, or all of its text; a picture is the mark in `shown`."""

    kind: SourceKind
    parts: Sequence[str]
    shown: Sequence[str]
    """What stands behind each part: the marks of pictures, or their descriptions."""
    title: str | None = None
    file_id: str | None = None


class Shelf:
    """The documents and search results of one request, in order."""

    def __init__(self, attachments: Attachments) -> None:
        self._attachments = attachments
        self._num_documents = 0
        self._num_search_results = 0
        self._sources: list[Source] = []

    @property
    def sources(self) -> Sources:
        """What may be cited so far."""
        return Sources(tuple(self._sources))

    def document(self, block: DocumentBlock, pictures: list[Picture]) -> str:
        """The document as text; its pictures are added to `pictures`."""
        body = self._body(block, pictures)
        title = block.title or body.title
        index, self._num_documents = self._num_documents, self._num_documents + 1
        texts = self._texts(body, block.citations, index, title, body.file_id)
        head = [*_tagged("title", title), *_tagged("context", block.context)]
        lines = [f'<document index="{index + 1}">', *head, *texts, "</document>"]
        return "\n".join(lines)

    def search_result(self, block: SearchResultBlock) -> str:
        parts = [part.text for part in block.content]
        index, self._num_search_results = self._num_search_results, self._num_search_results + 1
        body = _Body("search_result", parts, [""] * len(parts))
        texts = self._texts(body, block.citations, index, block.title, block.source)
        head = [*_tagged("title", block.title), *_tagged("source", block.source)]
        return "\n".join([f'<search_result index="{index + 1}">', *head, *texts, "</search_result>"])

    def image(self, block: ImageBlock, pictures: list[Picture]) -> str:
        """The mark of a picture, which is added to `pictures`; or its description, where the model cannot see."""
        return self._picture(self._attachments.pictures[key_of(block.source)], pictures)

    def _picture(self, found: Picture | str, pictures: list[Picture]) -> str:
        if isinstance(found, str):
            return found
        pictures.append(found)
        return self._attachments.mark

    def _body(self, block: DocumentBlock, pictures: list[Picture]) -> _Body:
        match block.source:
            case PlainText(data=data):
                return _Body("text", [data], [""])
            case ContentSource(content=str(text)):
                return _Body("blocks", [text], [""])
            case ContentSource(content=parts):
                assert not isinstance(parts, str)
                texts = [part.text if isinstance(part, TextBlock) else "" for part in parts]
                shown = [self.image(part, pictures) if isinstance(part, ImageBlock) else "" for part in parts]
                return _Body("blocks", texts, shown)
            case source:
                found = self._attachments.documents[key_of(source)]
                texts = [page.text for page in found.pages]
                shown = [self._page_picture(page, pictures) for page in found.pages]
                return _Body("pages" if found.is_paged else "text", texts, shown, found.title, found.file_id)

    def _page_picture(self, page: Page, pictures: list[Picture]) -> str:
        return self._picture(page.picture, pictures) if page.picture else ""

    def _texts(
        self, body: _Body, citations: CitationsConfig | None, index: int, title: str | None, origin: str | None
    ) -> list[str]:
        """What the model reads of each part."""
        if not (citations and citations.enabled):
            return _laid_out(body, lambda part: body.parts[part])
        first = self.sources.next
        source = source_of(body.kind, body.parts, ordinal=index, first=first, title=title, origin=origin)
        self._sources.append(source)
        lines: list[list[str]] = [[] for _ in body.parts]
        for number, (part, start, end) in enumerate(source.chunks, first):
            lines[part].append(f"{label(number)} {body.parts[part][start:end]}")
        return _laid_out(body, lambda part: "\n".join(lines[part]))


def _laid_out(body: _Body, text_of: Callable[[int], str]) -> list[str]:
    """The parts one below the other; pages are numbered."""
    texts: list[str] = []
    for part, shown in enumerate(body.shown):
        inner = [text for text in (text_of(part), shown) if text]
        if body.kind == "pages":
            texts.append("\n".join([f'<page number="{part + 1}">', *inner, "</page>"]))
        else:
            texts += inner
    return texts


def _tagged(tag: str, text: str | None) -> Iterable[str]:
    return [f"<{tag}>{text}</{tag}>"] if text else []
