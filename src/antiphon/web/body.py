"""Reading a request's body: bounded in size before and while it comes."""

from collections.abc import AsyncGenerator
from io import SEEK_END, BytesIO

from starlette.types import Message, Receive

from antiphon.core.errors import ApiError, Kind, invalid

MESSAGES_LIMIT_BYTES = 32 * 1024 * 1024
_ENCODING_ERROR = {"error_code": "request_body_encoding_unsupported"}


class ClientGone(Exception):
    """The client closed its connection: there is nobody left to answer."""


async def read_body(receive: Receive, headers: dict[bytes, bytes], limit_bytes: int) -> bytes:
    """The whole body. Raises as `chunks_of` does, whose generator would cost a small body more than its reading."""
    _check_head(headers, limit_bytes)
    chunk, has_more = _chunk_in(await receive())
    if not has_more and len(chunk) <= limit_bytes:
        return chunk
    body = BytesIO(chunk)  # no copy yet, and in the end none of the whole
    size = body.seek(0, SEEK_END)
    while has_more and size <= limit_bytes:
        chunk, has_more = _chunk_in(await receive())
        size += body.write(chunk)
    if size > limit_bytes:
        raise too_large()
    return body.getvalue()


async def chunks_of(receive: Receive, headers: dict[bytes, bytes], limit_bytes: int) -> AsyncGenerator[bytes, None]:
    """The body as it comes. Raises 413 once more than `limit_bytes` are announced or there, 400 if it is encoded."""
    _check_head(headers, limit_bytes)
    size, has_more = 0, True
    while has_more:
        chunk, has_more = _chunk_in(await receive())
        size += len(chunk)
        if size > limit_bytes:
            raise too_large()
        yield chunk


def _chunk_in(message: Message) -> tuple[bytes, bool]:
    """What has come, and whether there is more."""
    if message["type"] == "http.disconnect":
        raise ClientGone
    return message.get("body", b""), message.get("more_body", False)


def too_large() -> ApiError:
    return ApiError(Kind.TOO_LARGE, "Request exceeds the maximum size")


def body_timeout() -> ApiError:
    message = "The request's body did not arrive in time."
    return ApiError(Kind.INVALID_REQUEST, message, details={"error_code": "request_body_timeout"})


def _check_head(headers: dict[bytes, bytes], limit_bytes: int) -> None:
    announced = headers.get(b"content-length")
    if announced and announced.isdigit() and int(announced[:20]) > limit_bytes:
        raise too_large()
    encoding = headers.get(b"content-encoding")
    if encoding is not None and (name := encoding.decode("latin-1").lower()) != "identity":
        raise ApiError(
            Kind.INVALID_REQUEST,
            f"content-encoding: request bodies encoded as '{name[:40]}' are not supported",
            details=_ENCODING_ERROR,
        )


def charset(headers: dict[bytes, bytes]) -> str:
    """The `charset` of the content type, in lower case; "utf-8" where there is none."""
    content_type = headers.get(b"content-type", b"")
    if b";" not in content_type:
        return "utf-8"
    _, _, parameters = content_type.decode("latin-1").partition(";")
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset":
            return value.strip().strip('"').lower()
    return "utf-8"


def check_path_is_text(text: str) -> str:
    """A path parameter as text that can be printed in an error. Raises 400 for control characters."""
    if not text.isprintable():
        raise invalid("path: must hold printable characters only")
    return text
