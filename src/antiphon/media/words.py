"""What a client is told of a source that cannot be read, in the API's words."""

from antiphon.core.errors import ApiError, invalid
from antiphon.media.child.frames import Frame
from antiphon.wire.content import Base64Image, ImageBlock
from antiphon.wire.media import Place, empty

_FORMAT = "The file format is invalid or unsupported"


class TooLarge(Exception):
    """Of several images all are named, so this one waits for the others."""

    def __init__(self, place: Place) -> None:
        super().__init__(place.path)
        self.place = place


def refusal(place: Place, answer: Frame) -> Exception:
    """What the refusal of a child means for the block that it has read."""
    match answer.fields["refused"]:
        case "size":
            return TooLarge(place)
        case "empty":
            return empty(place)
        case "base64":
            return invalid(f"{place.source_path}: invalid base64 data")
        case "encrypted":
            return _of_pdf(place, "The PDF specified is password protected.")
        case "unknown" if not isinstance(place.block.source, Base64Image):
            return wrong_format(place)
        case _ if isinstance(place.block, ImageBlock):
            return invalid("Could not process image")
        case _:
            return _of_pdf(place, "The PDF specified was not valid.")


def wrong_format(place: Place) -> ApiError:
    """Of what was fetched or uploaded."""
    return invalid(f"{place.source_path}.data: {_FORMAT}")


def other_type(place: Place, said: str, found: str) -> ApiError:
    words = f"The image was specified using the {said} media type, but the image appears to be a {found} image"
    return invalid(f"{place.source_path}: {words}")


def would_shrink(place: Place, size: tuple[int, int], fitting: tuple[int, int]) -> ApiError:
    """For who would rather scale an image down than have it done."""
    words = (
        "The image is {}x{} pixels, which exceeds the model's maximum image size. The largest size that fits is {}x{}."
    )
    return invalid(f"{place.source_path}: {words.format(*size, *fitting)}")


def cannot_see(place: Place, model: str) -> ApiError:
    return invalid(f"{place.path}: '{model}' does not support image input.")


def _of_pdf(place: Place, words: str) -> ApiError:
    return invalid(f"{place.source_path}.data: {words}")


def too_large(place: Place, num_bytes: int, max_bytes: int) -> ApiError:
    return _of_pdf(place, f"The PDF exceeds {max_bytes // 2**20} MB maximum: {num_bytes} bytes > {max_bytes} bytes")


def unreachable() -> ApiError:
    return invalid("Unable to download the file. Please verify the URL and try again.")
