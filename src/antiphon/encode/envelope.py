"""The envelope of every error (Messages API, "Errors")."""

from typing import Any

from antiphon.core.errors import ApiError


def error_body(error: ApiError, request_id: str) -> dict[str, Any]:
    inner: dict[str, Any] = {"type": error.kind.type, "message": error.message}
    if error.details is not None:
        inner["details"] = dict(error.details)
    return {"type": "error", "error": inner, "request_id": request_id}
