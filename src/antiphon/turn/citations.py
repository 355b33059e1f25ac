"""What a reply may cite: numbered chunks of the request's documents and search results (Messages API, "Citations").

A model reads each chunk behind its label, and cites by writing the label again.
"""

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from antiphon.turn.sentences import spans
from antiphon.wire.content import (
    CharLocation,
    Citation,
    ContentBlockLocation,
    PageLocation,
    SearchResultLocation,
    WebSearchResultLocation,
)

SourceKind = Literal["text", "pages", "blocks", "search_result"]


class Chunk(NamedTuple):
    """`part` is the index of the page or block; `start` and `end` count characters within it."""

    part: int
    start: int
    end: int


class Source(NamedTuple):
    """A document or a search result. `ordinal` is its place among the request's documents, or its search results.

    `parts` are its pages, its blocks, or its one text; `first` is the number of its first chunk. `origin` is the id of
    the file that a document was uploaded as, or the `source` of a search result.
    """

    kind: SourceKind
    ordinal: int
    title: str | None
    origin: str | None
    parts: Sequence[str]
    chunks: Sequence[Chunk]
    first: int

    @property
    def next(self) -> int:
        """The number after that of the last chunk."""
        return self.first + len(self.chunks)

    def cite(self, first: int, last: int) -> list[dict[str, Any]]:
        """Citations of the chunks from `first` to `last`: one, or one for each page."""
        chunks = self.chunks[first - self.first : last - self.first + 1]
        if self.kind in ("blocks", "search_result"):
            return [self._blocks(chunks[0].part, chunks[-1].part + 1)]
        parts = sorted({chunk.part for chunk in chunks})
        return [self._slice([chunk for chunk in chunks if chunk.part == part]) for part in parts]

    def _blocks(self, start: int, end: int) -> dict[str, Any]:
        text = "".join(self.parts[start:end])
        place = {"start_block_index": start, "end_block_index": end}
        if self.kind == "search_result":
            named = {"search_result_index": self.ordinal, "source": self.origin, "title": self.title}
            return {"type": "search_result_location", "cited_text": text, **named, **place}
        return {"type": "content_block_location", "cited_text": text, **self._document, **place}

    def _slice(self, chunks: Sequence[Chunk]) -> dict[str, Any]:
        """Of one page, or of the text."""
        part, start, end = chunks[0].part, chunks[0].start, chunks[-1].end
        text = self.parts[part][start:end]
        if self.kind == "pages":
            place = {"start_page_number": part + 1, "end_page_number": part + 2}
            return {"type": "page_location", "cited_text": text, **self._document, **place}
        place = {"start_char_index": start, "end_char_index": end}
        return {"type": "char_location", "cited_text": text, **self._document, **place}

    @property
    def _document(self) -> dict[str, Any]:
        return {"document_index": self.ordinal, "document_title": self.title, "file_id": self.origin}

    def find(self, citation: Citation) -> tuple[int, int] | None:
        """(first, last) number of the chunks that `cite` made this of; None if it has not."""
        match citation:
            case CharLocation():
                return self._find_slice(0, citation.cited_text, citation.start_char_index)
            case PageLocation():
                return self._find_slice(citation.start_page_number - 1, citation.cited_text, None)
            case ContentBlockLocation() | SearchResultLocation():
                found = [
                    self.first + i
                    for i, chunk in enumerate(self.chunks)
                    if citation.start_block_index <= chunk.part < citation.end_block_index
                ]
                return (found[0], found[-1]) if found else None
            case WebSearchResultLocation():
                return None

    def _find_slice(self, part: int, text: str, start: int | None) -> tuple[int, int] | None:
        """By where the text starts; on a page, which does not tell that, by the text alone."""
        for i, chunk in enumerate(self.chunks):
            if chunk.part != part or start not in (None, chunk.start):
                continue
            if not self.parts[part].startswith(text, chunk.start):
                continue
            for j in range(i, len(self.chunks)):
                if self.chunks[j].part == part and self.chunks[j].end == chunk.start + len(text):
                    return self.first + i, self.first + j
        return None


def source_of(
    kind: SourceKind, parts: Sequence[str], *, ordinal: int, first: int, title: str | None, origin: str | None
) -> Source:
    """Texts and pages are cut into sentences; a block stays whole, and one without text cannot be cited."""
    if kind in ("text", "pages"):
        chunks = [Chunk(i, start, end) for i, part in enumerate(parts) for start, end in spans(part)]
    else:
        chunks = [Chunk(i, 0, len(part)) for i, part in enumerate(parts) if part]
    return Source(kind, ordinal, title, origin, parts, chunks, first)


class Sources(NamedTuple):
    """All that may be cited. Chunks are numbered from 1 on, through all sources."""

    sources: Sequence[Source] = ()

    @property
    def next(self) -> int:
        return self.sources[-1].next if self.sources else 1

    def cite(self, first: int, last: int) -> list[dict[str, Any]]:
        """The API's citations of the chunks from `first` to `last`; none if there are no such chunks in one source."""
        place = bisect_right(self.sources, first, key=lambda source: source.first) - 1
        if place < 0 or not first <= last < self.sources[place].next:
            return []
        return self.sources[place].cite(first, last)

    def labels(self, citations: Iterable[Citation]) -> list[tuple[int, int]]:
        """(first, last) of each citation that was made from these sources, in order; others are left out."""
        found = [self._find(citation) for citation in citations]
        return [numbers for numbers in found if numbers]

    def _find(self, citation: Citation) -> tuple[int, int] | None:
        if isinstance(citation, WebSearchResultLocation):
            return None
        is_search = isinstance(citation, SearchResultLocation)
        index = citation.search_result_index if is_search else citation.document_index
        for source in self.sources:
            if (source.kind == "search_result", source.ordinal) == (is_search, index):
                return source.find(citation) if _KINDS[source.kind] is type(citation) else None
        return None


_KINDS: dict[SourceKind, type] = {
    "text": CharLocation,
    "pages": PageLocation,
    "blocks": ContentBlockLocation,
    "search_result": SearchResultLocation,
}
NO_SOURCES = Sources()
