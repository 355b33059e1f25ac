"""GET /openapi.json: the API's description, made from the wire types that validate it."""

from functools import cache
from typing import Any

from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from antiphon import __version__
from antiphon.web.call import PublicCall
from antiphon.web.routing import route
from antiphon.wire.request import CompleteRequest, CountRequest, MessageRequest

_ERROR = {
    "type": "object",
    "required": ["type", "error", "request_id"],
    "properties": {
        "type": {"const": "error"},
        "error": {
            "type": "object",
            "required": ["type", "message"],
            "properties": {"type": {"type": "string"}, "message": {"type": "string"}},
        },
        "request_id": {"type": ["string", "null"]},
    },
}
_BODIES = {
    "/v1/messages": MessageRequest,
    "/v1/messages/count_tokens": CountRequest,
    "/v1/complete": CompleteRequest,
}
_GETS = ("/v1/models", "/v1/models/{model_id}")
_VERSION = {"name": "anthropic-version", "in": "header", "required": True, "schema": {"type": "string"}}
_MODEL_ID = {"name": "model_id", "in": "path", "required": True, "schema": {"type": "string"}}


def routes() -> list[Route]:
    async def describe(call: PublicCall) -> None:
        await call.reply_json(document())

    return [route("/openapi.json", GET=describe)]


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    schemas, definitions = models_json_schema(
        [(model, "validation") for model in _BODIES.values()], ref_template="#/components/schemas/{model}"
    )
    paths: dict[str, Any] = {
        path: {"post": _operation(body=schemas[model, "validation"])} for path, model in _BODIES.items()
    }
    for path in _GETS:
        paths[path] = {"get": _operation(parameters=[_MODEL_ID] if "{" in path else [])}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Antiphon", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": {**definitions.get("$defs", {}), "Error": _ERROR},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
        "security": [{"key": []}, {"bearer": []}],
    }


def _operation(*, body: Any = None, parameters: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    error = {"description": "An error", "content": _json({"$ref": "#/components/schemas/Error"})}
    operation: dict[str, Any] = {
        "parameters": [_VERSION, *(parameters or [])],
        "responses": {"200": {"description": "OK", "content": _json({"type": "object"})}, "default": error},
    }
    if body:
        operation["requestBody"] = {"required": True, "content": _json(body)}
    return operation


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
