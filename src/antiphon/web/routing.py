"""From a path and a method to a handler; the type of its parameter says who may call it."""

from collections.abc import Awaitable, Callable
from typing import Any, get_type_hints

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.core.errors import ApiError, Kind
from antiphon.core.secrets import KeyKind
from antiphon.web.auth import authenticate
from antiphon.web.call import AdminCall, Call, PublicCall
from antiphon.wire import betas, versions

Handler = Callable[[Any], Awaitable[None]]


def route(path: str, **handlers: Handler) -> Route:
    """A path, and a handler for each method: `route("/v1/models", GET=list_models)`."""
    return Route(path, endpoint=_Endpoint(path, handlers))


def make_router(routes: list[Route]) -> ASGIApp:
    """Raises ApiError itself for a path that is not there. A path without parameters is found at once."""
    plain: dict[str, ASGIApp] = {route.path: route.endpoint for route in routes if "{" not in route.path}
    router = Router(routes, redirect_slashes=False, default=_not_found)

    async def find(scope: Scope, receive: Receive, send: Send) -> None:
        await plain.get(scope["path"], router)(scope, receive, send)

    return find


class _Endpoint:
    def __init__(self, path: str, handlers: dict[str, Handler]) -> None:
        self._path = path
        self._handlers: dict[str, tuple[Handler, KeyKind | None]] = {
            method: (handler, _key_for(handler)) for method, handler in handlers.items()
        }
        if "GET" in self._handlers:
            self._handlers.setdefault("HEAD", self._handlers["GET"])
        self._allow = ", ".join(self._handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call: PublicCall = scope["antiphon.call"]
        call.outcome.route = self._path
        found = self._handlers.get(scope["method"])
        if found is None:
            raise ApiError(Kind.METHOD_NOT_ALLOWED, "Method Not Allowed", headers={"allow": self._allow})
        handler, kind = found
        if kind:
            await admit(call, kind)
        await handler(call)


_KEYS: dict[object, KeyKind | None] = {PublicCall: None, Call: "api", AdminCall: "admin"}


def _key_for(handler: Handler) -> KeyKind | None:
    """Which kind of key may call `handler`."""
    (wanted,) = (hint for name, hint in get_type_hints(handler).items() if name != "return")
    return _KEYS[wanted]


async def admit(call: PublicCall, kind: KeyKind) -> None:
    """Turn a public call into one of a key of `kind`: first the credential, then the version, then the betas."""
    assert isinstance(call, Call)
    call.caller = await authenticate(call, kind)
    call.version = versions.from_header(call.header(b"anthropic-version"))
    call.betas = betas.from_header(call.header(b"anthropic-beta"), strict=call.shared.settings.strict)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    raise ApiError(Kind.NOT_FOUND, "Not Found")
