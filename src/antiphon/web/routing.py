"""From a path and a method to a handler; the type of its parameter says who may call it."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple, get_type_hints

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.core.errors import ApiError, Kind, overloaded
from antiphon.core.secrets import KeyKind
from antiphon.web.auth import authenticate
from antiphon.web.call import NATIVE, AdminCall, Call, CloudCall, Manners, PublicCall
from antiphon.wire import betas, versions

Handler = Callable[[Any], Awaitable[None]]


def route(path: str, manners: Manners = NATIVE, **handlers: Handler) -> Route:
    """A path, and a handler for each method: `route("/v1/models", GET=list_models)`. Errors are told with `manners`."""
    return Route(path, endpoint=_Endpoint(path, manners, handlers))


def make_router(routes: list[Route]) -> ASGIApp:
    """Raises ApiError itself for a path that is not there. A path without parameters is found at once."""
    plain: dict[str, ASGIApp] = {route.path: route.endpoint for route in routes if "{" not in route.path}
    router = Router(routes, redirect_slashes=False, default=_not_found)

    def find(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return plain.get(scope["path"], router)(scope, receive, send)

    return find


class _Endpoint:
    def __init__(self, path: str, manners: Manners, handlers: dict[str, Handler]) -> None:
        self._path = path
        self._manners = manners
        self._handlers = {method: (handler, _admission_to(handler)) for method, handler in handlers.items()}
        if "GET" in self._handlers:
            self._handlers.setdefault("HEAD", self._handlers["GET"])
        self._allow = ", ".join(self._handlers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        call: PublicCall = scope["antiphon.call"]
        call.outcome.route = self._path
        call.adopt(self._manners)
        found = self._handlers.get(scope["method"])
        if found is None:
            raise ApiError(Kind.METHOD_NOT_ALLOWED, "Method Not Allowed", headers={"allow": self._allow})
        handler, admission = found
        if admission:
            await _admit(call, admission)
        await handler(call)


class _Admission(NamedTuple):
    """The kind of key that is asked for, and whether headers name the version of the API and betas."""

    kind: KeyKind
    has_version: bool = True


_ADMISSIONS: dict[object, _Admission | None] = {
    PublicCall: None,
    Call: _Admission("api"),
    AdminCall: _Admission("admin"),
    CloudCall: _Admission("api", has_version=False),
}


def _admission_to(handler: Handler) -> _Admission | None:
    (wanted,) = (hint for name, hint in get_type_hints(handler).items() if name != "return")
    return _ADMISSIONS[wanted]


async def _admit(call: PublicCall, admission: _Admission) -> None:
    """Turn a public call into one of a key: first the credential, then the version, then the betas."""
    assert isinstance(call, Call)
    if call.is_late:
        raise overloaded()
    call.caller = await authenticate(call, admission.kind)
    call.readmit = partial(authenticate, kind=admission.kind)  # without the call: that would be a cycle
    if not admission.has_version:
        return
    call.version = versions.from_header(call.header(b"anthropic-version"))
    call.betas = betas.from_header(call.header(b"anthropic-beta"), strict=call.shared.settings.strict)


async def _not_found(scope: Scope, receive: Receive, send: Send) -> None:
    raise ApiError(Kind.NOT_FOUND, "Not Found")
