"""The one error of the project, and the closed set of its kinds.

ApiError is raised anywhere and rendered once per facade; nothing between translates it.
"""

from collections.abc import Mapping
from enum import Enum
from typing import Any


class Kind(Enum):
    """(HTTP status, `error.type`) as the API's documentation lists them under "Errors"."""

    INVALID_REQUEST = (400, "invalid_request_error")
    AUTHENTICATION = (401, "authentication_error")
    BILLING = (402, "billing_error")
    PERMISSION = (403, "permission_error")
    NOT_FOUND = (404, "not_found_error")
    METHOD_NOT_ALLOWED = (405, "invalid_request_error")
    REQUEST_TIMEOUT = (408, "timeout_error")
    CONFLICT = (409, "conflict_error")
    TOO_LARGE = (413, "request_too_large")
    RATE_LIMIT = (429, "rate_limit_error")
    INTERNAL = (500, "api_error")
    TIMEOUT = (504, "timeout_error")
    OVERLOADED = (529, "overloaded_error")

    @property
    def status(self) -> int:
        return self.value[0]

    @property
    def type(self) -> str:
        return self.value[1]


class ApiError(Exception):
    """What a client is told: a kind, the API's sentence, stable details, and reply headers (lower-case names)."""

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.details = details
        self.headers = headers or {}


class OperatorError(Exception):
    """A mistake in how the server was set up: one sentence that says what to do next, printed without a traceback."""


def invalid(message: str) -> ApiError:
    return ApiError(Kind.INVALID_REQUEST, message)


def overloaded(retry_after_s: int = 1) -> ApiError:
    return ApiError(Kind.OVERLOADED, "Overloaded", headers={"retry-after": str(retry_after_s)})


def internal() -> ApiError:
    return ApiError(Kind.INTERNAL, "Internal server error")
