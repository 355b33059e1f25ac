"""What Bedrock's clients send, read into requests of the Messages API.

The shapes of Converse are imported when they are asked for: they are many, and most servers never see one.
"""

from base64 import b64decode
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast
from urllib.parse import unquote

import orjson

from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.engines.catalog import Catalog
from antiphon.facades.bedrock.answers import check_paths
from antiphon.web.body import check_path_is_text
from antiphon.web.call import CloudCall
from antiphon.wire import versions
from antiphon.wire.content import Base64Image, ImageBlock, ToolResultBlock
from antiphon.wire.decode import parse_object
from antiphon.wire.parse import parse_count, parse_fields, validate_message
from antiphon.wire.request import CountRequest, MessageRequest
from antiphon.wire.versions import Version

LIMIT_BYTES = 20 * 1024 * 1024
_IMAGE_LIMIT_BYTES = 5 * 1024 * 1024
_OWN_FIELDS = ("model", "stream", "cache_control")
"""What the body of an InvokeModel may not have: the first two stand in the path."""
_UNSERVED_HEADERS = {
    b"x-amzn-bedrock-guardrailidentifier": ("guardrails are", ()),
    b"x-amzn-bedrock-performanceconfig-latency": ("only the latency 'standard' is", ("standard",)),
    b"x-amzn-bedrock-service-tier": ("only the service tier 'default' is", ("default",)),
}
_NOT_OF_THE_PROMPT = MessageRequest.model_fields.keys() - CountRequest.model_fields.keys()

Json = dict[str, Any]


async def read_invoke(call: CloudCall, operation: str, *, is_streamed: bool) -> MessageRequest:
    model = _model_in_path(call, operation)
    _check_headers(call)
    data = parse_object(await call.body(LIMIT_BYTES))
    for name in _OWN_FIELDS:
        if name in data:
            raise invalid(f"{name}: Extra inputs are not permitted")
    return _validate(call, data | {"model": model, "stream": is_streamed}, None)


class ConverseOrder(NamedTuple):
    request: MessageRequest
    paths: list[str]


async def read_converse(call: CloudCall, catalog: Catalog, operation: str, *, is_streamed: bool) -> ConverseOrder:
    from antiphon.facades.bedrock.convert import body_of
    from antiphon.facades.bedrock.shapes import Converse

    model = _model_in_path(call, operation)
    wish = parse_fields(Converse, await call.body(LIMIT_BYTES), strict=call.shared.settings.strict)
    paths = wish.additional_model_response_field_paths or []
    check_paths(paths)
    data = {"max_tokens": catalog.resolve(model).max_output} | body_of(wish)
    return ConverseOrder(_validate(call, data | {"model": model, "stream": is_streamed}, Version.V2023_06_01), paths)


def _validate(call: CloudCall, data: Json, default: Version | None) -> MessageRequest:
    """`data` with its version and betas, which are fields here. A version is required where there is no default."""
    version, betas = _taken(data, default)
    request = validate_message(data, version, strict=call.shared.settings.strict, betas=betas)
    _check_images(request)
    return request


def _taken(data: Json, default: Version | None) -> tuple[Version, list[str]]:
    """The version and the betas, taken out of `data`."""
    named, betas = data.pop("anthropic_version", default), data.pop("anthropic_beta", None)
    if named is not None and not isinstance(named, str):
        raise invalid("anthropic_version: Input should be a valid string")
    if betas is not None and not _are_texts(betas):
        raise invalid("anthropic_beta: Input should be a valid array of strings")
    return versions.from_cloud_body(named), betas or []


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in cast(list[object], value))


def _check_images(request: MessageRequest) -> None:
    """Bedrock takes smaller images than the API itself."""
    for image in _images(block for message in request.messages for block in _blocks(message.content)):
        if isinstance(image.source, Base64Image) and len(image.source.data) * 3 // 4 > _IMAGE_LIMIT_BYTES + 2:
            raise invalid(f"image exceeds 5 MB maximum: it must have at most {_IMAGE_LIMIT_BYTES} bytes")


def _images(blocks: Iterator[object]) -> Iterator[ImageBlock]:
    for block in blocks:
        if isinstance(block, ImageBlock):
            yield block
        elif isinstance(block, ToolResultBlock):
            yield from (part for part in _blocks(block.content) if isinstance(part, ImageBlock))


def _blocks(content: str | Sequence[object]) -> Sequence[object]:
    return () if isinstance(content, str) else content


async def read_count(call: CloudCall) -> CountRequest:
    from antiphon.facades.bedrock.convert import body_of
    from antiphon.facades.bedrock.shapes import CountTokens

    model = _model_in_path(call, "count-tokens")
    wish = parse_fields(CountTokens, await call.body(LIMIT_BYTES), strict=call.shared.settings.strict).input
    if wish.converse:
        data, default = body_of(wish.converse), Version.V2023_06_01
    else:
        assert wish.invoke_model
        data, default = parse_object(_decoded(wish.invoke_model.body)), None
    version, _ = _taken(data, default)
    data = {name: value for name, value in data.items() if name not in _NOT_OF_THE_PROMPT} | {"model": model}
    return parse_count(orjson.dumps(data), version, strict=call.shared.settings.strict)


def _decoded(body: str) -> bytes:
    try:
        return b64decode(body, validate=True)
    except ValueError:
        raise invalid("input.invokeModel.body: must be JSON in base64") from None


def _model_in_path(call: CloudCall, operation: str) -> str:
    """The model's id. It is looked for in the raw path: an ARN's encoded slash parts no segments."""
    raw: str = call.scope["raw_path"].decode("latin-1")
    if not raw.endswith(f"/{operation}"):
        raise ApiError(Kind.NOT_FOUND, "Not Found")
    return check_path_is_text(unquote(raw.removeprefix("/model/").removesuffix(f"/{operation}")))


def _check_headers(call: CloudCall) -> None:
    for name, (what, served) in _UNSERVED_HEADERS.items():
        value = call.header(name)
        if value and value not in served:
            raise invalid(f"{name.decode()}: {what} supported by this server.")
