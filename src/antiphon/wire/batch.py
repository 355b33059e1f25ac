"""The body of `POST /v1/messages/batches`, read while it comes (Messages API, "Create a Message Batch").

Only what is said of the list and of the ids is checked when a batch is made; what is wrong with the `params` of a
request becomes its result, in the words of the call that it would have been.
"""

import hashlib
from collections.abc import Collection, Iterator
from typing import Annotated, Any, NamedTuple, cast

import orjson
from pydantic import Field, ValidationError

from antiphon.core.errors import ApiError, invalid
from antiphon.wire import errors
from antiphon.wire.decode import parse_object
from antiphon.wire.fields import WireModel
from antiphon.wire.parse import validate_message
from antiphon.wire.request import MessageRequest
from antiphon.wire.split import Splitter
from antiphon.wire.versions import Version

MAX_BYTES = 256 * 1024 * 1024
MAX_REQUESTS = 100_000
MAX_REQUEST_BYTES = 32 * 1024 * 1024
_INVALID = "The request body is not valid JSON"

_LEVELS_BYTES = tuple(512 << level for level in range(8))
"""How much of two prompts is compared, level by level."""
NUM_CHARS_PER_LEVEL = 6
NUM_LEVEL_CHARS = NUM_CHARS_PER_LEVEL * len(_LEVELS_BYTES)


class BatchRequest(WireModel):
    custom_id: Annotated[str, Field(max_length=64, pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
    params: dict[str, Any]


class NewItem(NamedTuple):
    """One request of a batch: `text` is its JSON. Sorted by `place`, those whose prompts begin alike stand together."""

    custom_id: str
    place: str
    text: str


class BatchReader:
    """`feed` it the body in pieces; `close` raises what was wrong with it. After an error it returns nothing more."""

    def __init__(self, *, strict: bool = False) -> None:
        self.num_requests = 0
        self._splitter = Splitter("requests", MAX_REQUEST_BYTES)
        self._is_strict = strict
        self._ids: set[str] = set()
        self._error: ApiError | None = None

    def feed(self, data: bytes) -> list[NewItem]:
        if self._error:
            return []
        try:
            return [self._item(part) for part in self._splitter.feed(data)]
        except ApiError as error:
            self._error = error
            return []

    def _item(self, part: bytes) -> NewItem:
        index = self.num_requests
        self.num_requests += 1
        if index == MAX_REQUESTS:
            most = MAX_REQUESTS
            raise invalid(f"requests: List should have at most {most} items after validation, not {most + 1}")
        request = self._validated(parse_object(part), index)
        if request.custom_id in self._ids:
            raise invalid(
                f"requests: custom_id's must be unique within a batch. Duplicate custom_id found: {request.custom_id}"
            )
        self._ids.add(request.custom_id)
        return NewItem(request.custom_id, f"{levels_of(request.params)}{index:06}", part.decode())

    def _validated(self, data: dict[str, Any], index: int) -> BatchRequest:
        try:
            return BatchRequest.model_validate(data, extra="forbid" if self._is_strict else "ignore")
        except ValidationError as error:
            raise invalid(f"requests.{index}.{errors.from_validation(error).message}") from None

    def close(self) -> None:
        """Raises ApiError 400 in the API's words, or 413."""
        if self._error:
            raise self._error
        body = _parsed(bytes(self._splitter.rest))
        if self._is_strict and (unknown := [name for name in body if name != "requests"]):
            raise invalid(f"{errors.clip(unknown[0])}: Extra inputs are not permitted")
        if "requests" not in body:
            raise invalid("requests: Field required")
        self._check_list(body["requests"])

    def _check_list(self, requests: object) -> None:
        if not isinstance(requests, list):
            raise invalid("requests: Input should be a valid array")
        for index, request in enumerate(cast(list[object], requests)):
            if request != {}:
                raise invalid(f"requests.{index}: Input should be an object")
        if not self.num_requests:
            raise invalid("requests: List should have at least 1 item after validation, not 0")


def _parsed(rest: bytes) -> dict[str, Any]:
    """What the places of its requests are cut out of: an error's own place would mean nothing to a client."""
    try:
        return parse_object(rest)
    except ApiError as error:
        reason = error.message.removeprefix(f"{_INVALID}: ").partition(": line ")[0]
        raise invalid(f"{_INVALID}: {reason}") from None


def levels_of(params: dict[str, Any]) -> str:
    """For each level a digest of that much of the prompt: equal where two prompts begin alike; zeros behind its end."""
    prompt = b"".join(_prompt(params))
    digest = hashlib.blake2b(digest_size=NUM_CHARS_PER_LEVEL // 2)
    found: list[str] = []
    start = 0
    for end in _LEVELS_BYTES:
        if end > len(prompt):
            break
        digest.update(prompt[start:end])
        found.append(digest.hexdigest())
        start = end
    return "".join(found).ljust(NUM_LEVEL_CHARS, "0")


def _prompt(params: dict[str, Any]) -> Iterator[bytes]:
    """What a model reads, in its order."""
    for name in ("model", "tools", "system", "messages"):
        try:
            yield orjson.dumps(params.get(name))
        except orjson.JSONEncodeError:  # a number that it cannot write: no such request is served
            return


def params_of(text: str) -> dict[str, Any]:
    """The `params` of an item's JSON, which was checked when its batch was made."""
    return parse_object(text.encode())["params"]


def parse_params(params: dict[str, Any], version: Version, *, strict: bool, betas: Collection[str]) -> MessageRequest:
    """One request, as the call that it would have been; ApiError 400 in the API's words."""
    request = validate_message(params, version, strict=strict, betas=betas)
    if request.stream:
        raise invalid('"stream=True" is not supported in the Message Batches API')
    if request.max_tokens == 0:
        raise invalid("max_tokens: must be greater than or equal to 1")
    return request
