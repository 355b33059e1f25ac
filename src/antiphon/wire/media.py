"""The pictures and documents of a request: where they stand, how large and how many they may be ("Media limits")."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.wire.content import Base64Image, Base64Pdf, ContentSource, DocumentBlock, ImageBlock, PlainText
from antiphon.wire.conversation import Turn

MAX_IMAGE_BYTES = 10 * 1024 * 1024
"""Of an image as it is sent; in base64 that is its text."""
MAX_SIDE = 8000
MAX_SIDE_OF_MANY = 2000
NUM_MANY = 20
"""More images than these count as many."""
_LARGE_WINDOW = 1_000_000


class Place(NamedTuple):
    """A picture, or a document that has to be read, and its path in the API's notation."""

    block: ImageBlock | DocumentBlock
    path: str

    @property
    def source_path(self) -> str:
        """Where the API says that something is wrong with what the block brings, as if it had been sent along."""
        kind = "image" if isinstance(self.block, ImageBlock) else "pdf"
        return f"{self.path}.{kind}.source.base64"


def places_of(turns: Sequence[Turn]) -> tuple[Place, ...]:
    """In order. The walk is on the path of every request, so it compares `type`s."""
    found: list[Place] = []
    for turn in turns:
        for index, block in enumerate(turn.blocks):
            if block.type in ("image", "document"):
                found += _within(block, turn.path(index))  # type: ignore[arg-type]
            elif block.type == "tool_result" and not isinstance(block.content, str):
                for number, part in enumerate(block.content):
                    if part.type in ("image", "document"):
                        found += _within(part, f"{turn.path(index)}.tool_result.content.{number}")  # type: ignore[arg-type]
    return tuple(found)


def _within(block: ImageBlock | DocumentBlock, path: str) -> Iterator[Place]:
    if isinstance(block, ImageBlock):
        yield Place(block, path)
    elif isinstance(block.source, ContentSource):
        for number, part in enumerate(block.source.content):
            if isinstance(part, ImageBlock):
                yield Place(part, f"{path}.document.source.content.content.{number}")
    elif not isinstance(block.source, PlainText):
        yield Place(block, path)


def check_sizes(places: Sequence[Place]) -> None:
    """What is sent along is neither empty nor too large."""
    for place in places:
        source = place.block.source
        if isinstance(source, Base64Image | Base64Pdf) and not source.data:
            raise empty(place)
        if isinstance(source, Base64Image):
            check_image_size(place, len(source.data))


def check_image_size(place: Place, num_bytes: int) -> None:
    if num_bytes > MAX_IMAGE_BYTES:
        words = f"image exceeds 10 MB maximum: {num_bytes} bytes > {MAX_IMAGE_BYTES} bytes"
        raise invalid(f"{place.source_path}: {words}")


def check_number(places: Sequence[Place], window: int) -> None:
    """Not more than a model of such a window takes."""
    num_images = sum(isinstance(place.block, ImageBlock) for place in places)
    if len(places) > (most := max_images(window)):
        raise invalid(f"too many images and documents: {num_images} + {len(places) - num_images} > {most}")


def check_pages(place: Place, num_pages: int, num_images: int, window: int) -> None:
    """Of all documents up to the one at `place`. Pages count as images where there are both."""
    if num_pages > (most := max_pages(window)):
        raise invalid(f"{place.source_path}.data: A maximum of {most} PDF pages may be provided.")
    if num_pages and num_images and num_pages + num_images > (most := max(most, max_images(window))):
        raise invalid(f"Too much media: {num_pages} document pages + {num_images} images > {most}")


def max_images(window: int) -> int:
    return 600 if window > 200_000 else 100


def max_pages(window: int) -> int:
    return 600 if window >= _LARGE_WINDOW else 100


def max_side(places: Sequence[Place]) -> int:
    """Pixels that each side of an image may have."""
    is_many = sum(isinstance(place.block, ImageBlock) for place in places) > NUM_MANY
    return MAX_SIDE_OF_MANY if is_many else MAX_SIDE


def empty(place: Place) -> ApiError:
    kind = "image" if isinstance(place.block, ImageBlock) else "PDF"
    return invalid(f"{place.source_path}: {kind} cannot be empty")


def oversized(places: Sequence[Place], side: int) -> ApiError:
    """All `places` hold an image with a side of more than `side` pixels."""
    paths = [f"{place.source_path}.data" for place in places]
    of_many = " for many-image requests" if side == MAX_SIDE_OF_MANY else ""
    limit = f"max allowed size{of_many}: {side} pixels"
    message = f"{paths[0]}: At least one of the image dimensions exceed {limit}"
    details = {"error_code": "image_dimensions_too_large", "max_side_length_pixels": side, "paths": paths}
    return ApiError(Kind.INVALID_REQUEST, message, details=details)
