"""Bytes become a checked request: the front door of this package.

Everything that can be known without a model and without a database is checked here, and the first finding is raised
as the API's own sentence. Models, limits and features that are not served are checked by the callers.
"""

from collections.abc import Collection
from typing import Any, TypeVar

from pydantic import ValidationError

from antiphon.core.errors import invalid
from antiphon.wire import caching, conversation, errors, media, pairing, prompt, rules
from antiphon.wire.decode import parse_object
from antiphon.wire.fields import WireModel
from antiphon.wire.request import CompleteRequest, CountRequest, MessageRequest, PromptRequest
from antiphon.wire.survey import Survey, check_system, survey
from antiphon.wire.tools import name_of
from antiphon.wire.versions import Version

R = TypeVar("R", bound=WireModel)
P = TypeVar("P", bound=PromptRequest)
_SAMPLING = ("temperature", "top_p", "top_k")


def parse_message(
    body: bytes, version: Version, *, strict: bool = False, betas: Collection[str] = ()
) -> MessageRequest:
    """A body of `POST /v1/messages`; ApiError 400 in the API's words. Betas only ever lift a bound."""
    return validate_message(parse_object(body), version, strict=strict, betas=betas)


def parse_count(body: bytes, version: Version, *, strict: bool = False) -> CountRequest:
    """A body of `POST /v1/messages/count_tokens`; ApiError 400 in the API's words."""
    request = _validate_prompt(CountRequest, parse_object(body), version, strict)
    _check_prompt(request, version)
    return request


def parse_complete(body: bytes, version: Version, *, strict: bool = False) -> CompleteRequest:
    """A body of `POST /v1/complete`; ApiError 400 in the API's words. Both versions take the same body."""
    request = _validate(CompleteRequest, parse_object(body), strict)
    prompt.turns_of(request.prompt)
    return request


def parse_fields(kind: type[R], body: bytes, *, strict: bool = False) -> R:
    """A body of any other route; ApiError 400 in the API's words. No body at all counts as an empty object."""
    return _validate(kind, parse_object(body) if body else {}, strict)


def validate_message(
    data: dict[str, Any], version: Version, *, strict: bool = False, betas: Collection[str] = ()
) -> MessageRequest:
    """The same for a body that is parsed already, such as one request of a batch."""
    request = _validate_prompt(MessageRequest, data, version, strict)
    rules.check_warm_up(request)
    if request.is_plain:
        _check_prompt(request, version)
    else:
        rules.check_thinking(request, betas)
        _check_prompt(request, version)
        rules.check_container(request)
    return request


def _validate_prompt(kind: type[P], data: dict[str, Any], version: Version, strict: bool) -> P:
    removed = [key for key in _SAMPLING if key in data] if version is Version.V2026_10_21 else []
    request = _validate(kind, {key: data[key] for key in data if key not in removed} if removed else data, strict)
    if removed:
        raise invalid(f"{removed[0]}: Extra inputs are not permitted")
    return request


def _validate(kind: type[R], data: dict[str, Any], strict: bool) -> R:
    try:
        return kind.__pydantic_validator__.validate_python(data, extra="forbid" if strict else "ignore")
    except ValidationError as error:
        raise errors.from_validation(error) from None


def _check_prompt(request: PromptRequest, version: Version) -> None:
    turns = request.turns
    if not request.is_plain:
        rules.check_tools(request)
    conversation.check_shape(request.messages, turns)
    check_system(request.system)
    found = survey(turns, version)
    conversation.check_ending(turns)
    if not found.is_plain:
        _check_blocks(request, found)
    if not request.is_plain:
        rules.check_output(request, turns, found)
        rules.check_thinking_replay(request, turns)
        rules.check_edits(request)
    caching.check_breakpoints(request, found.breakpoints)
    if not found.is_plain:
        rules.check_uploads(request, found)
        media.check_sizes(request.places)


def _check_blocks(request: PromptRequest, found: Survey) -> None:
    pairing.check_pairs(request.turns)
    if found.references and not rules.has_toolset(request):
        pairing.check_references(found.references, {name_of(tool) for tool in request.tools or ()})
    rules.check_citations(found)
