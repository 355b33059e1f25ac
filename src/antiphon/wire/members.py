"""What the Admin API's routes for users, invites and members of workspaces are sent."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from antiphon.core.scope import OrganizationRole, WorkspaceRole
from antiphon.wire.admin import Id
from antiphon.wire.fields import Items, WireModel, problem

GivenRole = Literal["user", "developer", "billing", "claude_code_user"]
"""The roles that the API gives away. An administrator is made by the operator."""

GivenWorkspaceRole = Literal[
    "workspace_user", "workspace_developer", "workspace_restricted_developer", "workspace_admin"
]
"""The role for billing is only ever changed to, as the SDK's types have it."""

_EMAIL = re.compile(r"[^@\s]+@[^@\s]+")
_MAX_CHARS = 254


def plain_text(text: str) -> str:
    """`text` without the spaces around it. Raises for what no name or id holds, and PostgreSQL takes partly ill."""
    text = text.strip()
    if not text or len(text) > _MAX_CHARS or not text.isprintable():
        raise problem(f"Input should be 1 to {_MAX_CHARS} printable characters")
    return text


def email_address(text: str) -> str:
    """In lower case: two spellings of one address are one member."""
    text = plain_text(text).lower()
    if not _EMAIL.fullmatch(text):
        raise problem("Input should be a valid email address")
    return text


def _nothing(group_ids: list[str]) -> list[str]:
    if group_ids:
        raise problem("groups of roles are not served")
    return group_ids


def _many(value: object) -> object:
    return [value] if isinstance(value, str) else value


PlainText = Annotated[str, AfterValidator(plain_text)]
Email = Annotated[str, AfterValidator(email_address)]


Roles = Annotated[list[OrganizationRole], BeforeValidator(_many)]


class UserFilter(WireModel):
    """The query of a list of users, beside its page."""

    email: Email | None = None
    roles: Roles | None = None


class InviteFilter(UserFilter):
    statuses: Annotated[list[Literal["accepted", "expired", "pending"]], BeforeValidator(_many)] | None = None


class UserAdd(WireModel):
    """Of the operator's command line alone: there, any role is given away."""

    email: Email
    name: PlainText
    role: OrganizationRole


class UserUpdate(WireModel):
    role: GivenRole


class InviteCreate(WireModel):
    email: Email
    role: GivenRole
    rbac_group_ids: Annotated[Items[str], AfterValidator(_nothing)] = Field(default_factory=list)


class InviteAccept(WireModel):
    """Of this server alone: there is no mail with a link to click."""

    name: PlainText


class MemberAdd(WireModel):
    user_id: Id
    workspace_role: GivenWorkspaceRole


class MemberUpdate(WireModel):
    workspace_role: WorkspaceRole
