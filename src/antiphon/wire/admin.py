"""What the Admin API's routes of keys and workspaces take, in bodies and in queries, and how they answer with a list.

Source: the Admin API's reference. The types in which a key is made or limited are Antiphon's own.
"""

import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from ipaddress import ip_network
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError, model_validator

from antiphon.core.secrets import KeyKind
from antiphon.wire import errors
from antiphon.wire.fields import Int, Omittable, WireModel, problem

R = TypeVar("R", bound=WireModel)

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NO_CONTROL_CHARS = r"^[^\x00-\x1f\x7f-\x9f]+$"
_MAX_GRACE_S = 30 * 86_400


def plain_id(text: str) -> str:
    """`text` if it can be an id at all, else "", which is nobody's."""
    return text if _ID.fullmatch(text) else ""


def _seconds(value: object) -> float:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
        if moment and moment.tzinfo:
            return moment.astimezone(UTC).timestamp()  # and refuse what no year of four digits can say
    except (ValueError, OverflowError):
        pass
    raise problem("Input should be an RFC 3339 datetime with a time zone, such as 2026-11-22T10:00:00Z")


def _network(value: str) -> str:
    try:
        return str(ip_network(value))
    except ValueError:
        raise problem("Input should be an IP address, or a network such as 10.0.0.0/8") from None


def _check_tags(tags: dict[str, Any]) -> dict[str, Any]:
    if any(name.startswith("anthropic") for name in tags):
        raise problem("Keys may not begin with `anthropic`")
    return tags


Id = Annotated[str, AfterValidator(plain_id)]
Moment = Annotated[float, BeforeValidator(_seconds)]
"""Seconds since the epoch, written as an RFC 3339 time."""
KeyName = Annotated[str, Field(min_length=1, max_length=500, pattern=_NO_CONTROL_CHARS)]
WorkspaceName = Annotated[str, Field(min_length=1, max_length=255, pattern=_NO_CONTROL_CHARS)]
Color = Annotated[str, Field(pattern="^#[0-9A-Fa-f]{6}$")]
Network = Annotated[str, AfterValidator(_network)]
ModelName = Annotated[str, Field(min_length=1, max_length=256, pattern=_NO_CONTROL_CHARS)]
Models = Annotated[list[ModelName], Field(max_length=100)]
Networks = Annotated[list[Network], Field(max_length=100)]
TagName = Annotated[str, Field(min_length=1, max_length=128, pattern=_NO_CONTROL_CHARS)]
TagValue = Annotated[str, Field(max_length=256, pattern=r"^[^\x00-\x1f\x7f-\x9f]*$")]


_GEOS = ("global", "us")


def _geos(value: Any) -> Any:
    if value == "unrestricted" or (isinstance(value, list) and value and all(geo in _GEOS for geo in value)):  # pyright: ignore[reportUnknownVariableType]
        return value  # pyright: ignore[reportUnknownVariableType]
    raise problem("Input should be 'unrestricted' or a list of 'global' and 'us'")


class KeyFilter(WireModel):
    """The query of a list of keys, beside its page."""

    status: Literal["active", "inactive", "archived", "expired"] | None = None
    created_by_user_id: Id | None = None
    workspace_id: Id | None = None


class KeyUpdate(WireModel):
    name: KeyName | None = None
    status: Literal["active", "inactive", "archived"] | None = None


class KeyCreate(WireModel):
    name: KeyName
    workspace_id: Id | None = None
    kind: KeyKind = "api"
    expires_at: Moment | None = None
    allowed_models: Models = Field(default_factory=list)
    allowed_addresses: Networks = Field(default_factory=list)
    created_by_user_id: Id | None = None


class KeyLimits(WireModel):
    """Only what is given changes; `expires_at: null` lets the key live on, an empty list allows all."""

    expires_at: Moment | None = None
    allowed_models: Omittable[Models] = None
    allowed_addresses: Omittable[Networks] = None


class KeyRotate(WireModel):
    grace_s: Annotated[Int, Field(ge=0, le=_MAX_GRACE_S)] = 0


class DataResidency(WireModel):
    """This server is in one place: the fields are kept and shown, and change nothing."""

    workspace_geo: Literal["us"] | None = None
    allowed_inference_geos: Annotated[list[str] | str, BeforeValidator(_geos)] | None = None
    default_inference_geo: Literal["global", "us"] | None = None


_UNSERVED = {"external_key_id": "encryption keys of your own", "user_profile_id": "user profiles"}


class _Workspace(WireModel):
    data_residency: DataResidency | None = None
    display_color: Color | None = None
    external_key_id: str | None = None
    user_profile_id: str | None = None

    @model_validator(mode="after")
    def _check_served(self) -> Self:
        for field, what in _UNSERVED.items():
            if getattr(self, field) is not None:
                raise problem(f"{what} are not supported by this server yet.", field)
        return self


class WorkspaceCreate(_Workspace):
    name: WorkspaceName
    tags: Annotated[dict[TagName, TagValue], Field(max_length=50), AfterValidator(_check_tags)] | None = None


class WorkspaceUpdate(_Workspace):
    name: WorkspaceName | None = None
    tags: Annotated[dict[TagName, TagValue | None], Field(max_length=100), AfterValidator(_check_tags)] | None = None
    """What is given is added; null takes a tag away."""


class WorkspaceFilter(WireModel):
    """The query of a list of workspaces, beside its page."""

    include_archived: bool = False
    include_default: bool = False
    ids: Annotated[list[Id], Field(max_length=100)] | None = None


def parse_query(kind: type[R], query: Mapping[str, Sequence[str]]) -> R:
    """A query as `kind`: `name[]` is a list, of any other name the last value counts, and an empty one is absent.

    Raises ApiError 400 in the API's words.
    """
    given = {name: values if name.endswith("[]") else values[-1] for name, values in query.items()}
    try:
        return kind.model_validate({name.removesuffix("[]"): value for name, value in given.items() if value})
    except ValidationError as error:
        raise errors.from_validation(error) from None


def listing(rows: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """The API's list object; each of `rows` has an `id`."""
    first_id, last_id = (rows[0]["id"], rows[-1]["id"]) if rows else (None, None)
    return {"data": list(rows), "has_more": has_more, "first_id": first_id, "last_id": last_id}
