"""What the handlers of the Admin API have in common: who may, who did it, and what a call's path and body hold."""

from typing import TypeVar

from antiphon.core import roles
from antiphon.store.accounts import Actor
from antiphon.web.auth import forbidden
from antiphon.web.call import AdminCall
from antiphon.wire.admin import plain_id
from antiphon.wire.fields import WireModel
from antiphon.wire.parse import parse_fields

R = TypeVar("R", bound=WireModel)
_LIMIT_BYTES = 1024 * 1024


def require_admin(call: AdminCall) -> None:
    """Raises 403 where the key belongs to a member who does not administer the organization."""
    member = call.principal.member
    if member and not roles.may_administer(member):
        raise forbidden("The member that this API key belongs to does not have the role for it.")


def actor_of(call: AdminCall) -> Actor:
    """The caller as the audit names them."""
    return Actor(call.principal.key_id, call.address)


def path_id(call: AdminCall, name: str) -> str:
    """The id in the path's parameter `name`; "", which is nobody's, for what can be none."""
    return plain_id(call.params[name])


async def read_fields(call: AdminCall, kind: type[R]) -> R:
    """The call's body as `kind`. Raises ApiError 400 in the API's words."""
    return parse_fields(kind, await call.body(_LIMIT_BYTES), strict=call.shared.settings.strict)
