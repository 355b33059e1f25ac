"""Errors as AWS's clients know them: a name in a header, a message in the body, and frames that end a stream."""

from collections.abc import Sequence

import orjson

from antiphon.core.errors import ApiError, Kind
from antiphon.encode import eventstream
from antiphon.web.call import Manners, headers_of

_NAMES: dict[Kind, tuple[int, str]] = {
    Kind.INVALID_REQUEST: (400, "ValidationException"),
    Kind.AUTHENTICATION: (403, "UnrecognizedClientException"),
    Kind.BILLING: (400, "ServiceQuotaExceededException"),
    Kind.PERMISSION: (403, "AccessDeniedException"),
    Kind.NOT_FOUND: (404, "ResourceNotFoundException"),
    Kind.METHOD_NOT_ALLOWED: (405, "UnknownOperationException"),
    Kind.REQUEST_TIMEOUT: (408, "ModelTimeoutException"),
    Kind.CONFLICT: (400, "ConflictException"),
    Kind.TOO_LARGE: (413, "ValidationException"),
    Kind.RATE_LIMIT: (429, "ThrottlingException"),
    Kind.INTERNAL: (500, "InternalServerException"),
    Kind.TIMEOUT: (408, "ModelTimeoutException"),
    Kind.OVERLOADED: (503, "ServiceUnavailableException"),
}
"""(status, name) of each kind, as the service's description lists them."""

_IN_STREAMS = (Kind.INVALID_REQUEST, Kind.RATE_LIMIT, Kind.INTERNAL, Kind.OVERLOADED)
"""What both kinds of stream can say; anything else is a modelStreamErrorException."""

_TOO_LONG = "Input is too long for requested model."
_NO_TOKEN = "Missing Authentication Token"
_WRONG_TOKEN = "The security token included in the request is invalid."
_NO_MODEL = "Could not resolve the foundation model from the provided model identifier"


def refuse(error: ApiError, call_id: str) -> tuple[int, Sequence[tuple[bytes, bytes]], bytes]:
    status, name = _NAMES[error.kind]
    words = _words(error)
    headers = {
        b"content-type": b"application/json",
        b"x-amzn-errortype": b"MissingAuthenticationTokenException" if words == _NO_TOKEN else name.encode(),
    }
    return status, list((headers | dict(headers_of(error))).items()), orjson.dumps({"message": words})


def break_off(error: ApiError, call_id: str) -> bytes:
    name = _NAMES[error.kind][1] if error.kind in _IN_STREAMS else "ModelStreamErrorException"
    return eventstream.exception(name[0].lower() + name[1:], _words(error))


MANNERS = Manners(refuse, break_off, (b"request-id", b"x-amzn-requestid"))


def _words(error: ApiError) -> str:
    """AWS's own words, where its clients look for them."""
    message = error.message
    if message.startswith("prompt is too long"):
        return _TOO_LONG
    if error.kind is Kind.NOT_FOUND and message.startswith("model: "):
        return f"{_NO_MODEL}: {message.removeprefix('model: ')}"
    if error.kind is Kind.AUTHENTICATION and "x-amzn-errortype" not in error.headers:
        return _NO_TOKEN if message.endswith("is required") else _WRONG_TOKEN
    return message
