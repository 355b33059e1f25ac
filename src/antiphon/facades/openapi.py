"""GET /openapi.json: the API's description, made from the wire types that validate it."""

import re
from functools import cache
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.routing import Route

from antiphon import __version__
from antiphon.web.call import PublicCall
from antiphon.web.routing import route
from antiphon.wire.batch import MAX_REQUESTS, BatchRequest
from antiphon.wire.files import UploadFields
from antiphon.wire.request import CompleteRequest, CountRequest, MessageRequest

_REF = "#/components/schemas/{model}"
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
_BODIES: dict[str, type[BaseModel]] = {
    "/v1/messages": MessageRequest,
    "/v1/messages/count_tokens": CountRequest,
    "/v1/complete": CompleteRequest,
}
_PATHS = {
    "/v1/messages": ("post",),
    "/v1/messages/count_tokens": ("post",),
    "/v1/messages/batches": ("get", "post"),
    "/v1/messages/batches/{batch_id}": ("get", "delete"),
    "/v1/messages/batches/{batch_id}/cancel": ("post",),
    "/v1/messages/batches/{batch_id}/results": ("get",),
    "/v1/files": ("get", "post"),
    "/v1/files/{file_id}": ("get", "delete"),
    "/v1/files/{file_id}/content": ("get",),
    "/v1/models": ("get",),
    "/v1/models/{model_id}": ("get",),
    "/v1/complete": ("post",),
}
_ANSWERS = {
    "/v1/messages/batches/{batch_id}/results": "application/x-jsonl",
    "/v1/files/{file_id}/content": "application/octet-stream",
}
"""The types of those that are no JSON object."""
_FILE = {
    "type": "object",
    "required": ["file"],
    "properties": {"file": {"type": "string", "contentMediaType": "application/octet-stream"}},
}
_VERSION = {"name": "anthropic-version", "in": "header", "required": True, "schema": {"type": "string"}}


def routes() -> list[Route]:
    async def describe(call: PublicCall) -> None:
        await call.reply_json(document())

    return [route("/openapi.json", GET=describe)]


@cache
def document() -> dict[str, Any]:
    """The OpenAPI 3.1 document."""
    models = [*_BODIES.values(), BatchRequest, UploadFields]
    _, definitions = models_json_schema([(model, "validation") for model in models], ref_template=_REF)
    schemas: dict[str, Any] = definitions["$defs"]
    schemas["BatchRequest"]["properties"]["params"] = _ref(MessageRequest)
    bodies = _bodies()
    return {
        "openapi": "3.1.0",
        "info": {"title": "Antiphon", "version": __version__},
        "paths": {
            path: {method: _operation(path, bodies.get(path) if method == "post" else None) for method in methods}
            for path, methods in _PATHS.items()
        },
        "components": {
            "schemas": {**schemas, "Error": _ERROR},
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
        "security": [{"key": []}, {"bearer": []}],
    }


def _bodies() -> dict[str, Any]:
    """What is posted to each path."""
    requests = {"type": "array", "items": _ref(BatchRequest), "minItems": 1, "maxItems": MAX_REQUESTS}
    batch = {"type": "object", "required": ["requests"], "properties": {"requests": requests}}
    upload = {"multipart/form-data": {"schema": {"allOf": [_FILE, _ref(UploadFields)]}}}
    plain = {path: _json(_ref(model)) for path, model in _BODIES.items()}
    return {**plain, "/v1/messages/batches": _json(batch), "/v1/files": upload}


def _operation(path: str, body: Any) -> dict[str, Any]:
    answer: dict[str, Any] = {_ANSWERS[path]: {}} if path in _ANSWERS else _json({"type": "object"})
    error = {"description": "An error", "content": _json({"$ref": _REF.format(model="Error")})}
    ids = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", path)
    ]
    operation: dict[str, Any] = {
        "parameters": [_VERSION, *ids],
        "responses": {"200": {"description": "OK", "content": answer}, "default": error},
    }
    if body:
        operation["requestBody"] = {"required": True, "content": body}
    return operation


def _ref(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}


def _json(schema: Any) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
