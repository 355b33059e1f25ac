"""GET /v1/models for OpenAI's clients, on the paths of the native lists.

Who sends a bearer token and no version of the API is one of them; everybody else is answered by the native route.
"""

from collections.abc import Iterable
from typing import Any

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from antiphon.engines.catalog import Catalog, Model
from antiphon.facades.openai.errors import MANNERS
from antiphon.web.body import check_path_is_text
from antiphon.web.call import CloudCall, PublicCall
from antiphon.web.routing import route


def routes(catalog: Catalog, native: Iterable[Route]) -> list[Route]:
    """`native` in both shapes."""

    async def list_models(call: CloudCall) -> None:
        await call.reply_json({"object": "list", "data": [_model(model, model.id) for model in catalog.models]})

    async def retrieve(call: CloudCall) -> None:
        name = check_path_is_text(call.params["model_id"])
        await call.reply_json(_model(catalog.resolve(name), name))

    ours = [
        route("/v1/models", MANNERS, GET=list_models),
        route("/v1/models/{model_id:path}", MANNERS, GET=retrieve),
    ]
    return [
        Route(theirs.path, endpoint=_Either(theirs.endpoint, mine.endpoint))
        for theirs, mine in zip(native, ours, strict=True)
    ]


class _Either:
    def __init__(self, native: ASGIApp, chat: ASGIApp) -> None:
        self._native = native
        self._chat = chat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        chosen = self._chat if _is_from_openais_client(scope["antiphon.call"]) else self._native
        await chosen(scope, receive, send)


def _is_from_openais_client(call: PublicCall) -> bool:
    has_bearer = (call.header(b"authorization") or "").lower().startswith("bearer ")
    return has_bearer and not call.headers.keys() & {b"anthropic-version", b"x-api-key"}


def _model(model: Model, name: str) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": int(model.spec.created_at), "owned_by": "antiphon"}
