"""What Google puts before the API: its envelope of errors, and the paths of "Claude on Google Cloud"."""

from collections.abc import Iterable, Sequence

import orjson
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from antiphon.core.errors import ApiError, Kind
from antiphon.web.call import Call, headers_of
from antiphon.web.routing import make_router

_WORKSPACE = "/v1/projects/{project}/locations/{location}/workspaces/{workspace}/invoke/{path:path}"

_STATUSES: dict[Kind, str] = {
    Kind.AUTHENTICATION: "UNAUTHENTICATED",
    Kind.PERMISSION: "PERMISSION_DENIED",
    Kind.NOT_FOUND: "NOT_FOUND",
    Kind.RATE_LIMIT: "RESOURCE_EXHAUSTED",
}
"""The names of google.rpc.Code; anything else is an INVALID_ARGUMENT."""


def edge_error(error: ApiError, call_id: str) -> tuple[int, Sequence[tuple[bytes, bytes]], bytes]:
    """An error in Google's envelope, as (status, headers, body)."""
    status = _STATUSES.get(error.kind, "INVALID_ARGUMENT")
    body = {"error": {"code": error.kind.status, "message": error.message, "status": status}}
    headers = [(b"content-type", b"application/json; charset=UTF-8"), *headers_of(error)]
    return error.kind.status, headers, orjson.dumps(body)


def routes(native: Iterable[Route]) -> list[Route]:
    """`native` once more, below each workspace's path in any project and location."""
    return [Route(_WORKSPACE, endpoint=_Workspaces([*native]))]


class _Workspaces:
    """Goes on to the native route. The path's workspace has to be the key's, as that of the header has to."""

    def __init__(self, native: list[Route]) -> None:
        self._router = make_router(native)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call: Call = scope["antiphon.call"]
        params = scope.pop("path_params")
        call.headers[b"anthropic-workspace-id"] = params["workspace"].encode()
        scope["path"] = "/" + params["path"]
        await self._router(scope, receive, send)
