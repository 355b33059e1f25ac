"""Who calls, and what they may see."""

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network
from typing import Literal

from antiphon.core.secrets import KeyKind

OrganizationRole = Literal[
    "user", "claude_code_user", "developer", "billing", "admin", "managed", "membership_admin", "owner", "primary_owner"
]
WorkspaceRole = Literal[
    "workspace_user",
    "workspace_developer",
    "workspace_restricted_developer",
    "workspace_admin",
    "workspace_billing",
]
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Scope:
    """The organization and the workspace that a call acts in. Every query of the store is bound to one."""

    organization_id: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class Member:
    """The member of the organization that a key belongs to, with their role in it and in the key's workspace."""

    user_id: str
    role: OrganizationRole | None
    workspace_role: WorkspaceRole | None


@dataclass(frozen=True, slots=True)
class Principal:
    """The key that a call was made with, and what it may do. Empty `models` and `networks` allow all."""

    key_id: str
    scope: Scope
    kind: KeyKind = "api"
    member: Member | None = None
    expires_at: float | None = None
    models: frozenset[str] = field(default_factory=frozenset[str])
    networks: tuple[Network, ...] = ()
