"""Who calls, and what they may see."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scope:
    """The organization and the workspace that a call acts in."""

    organization_id: str
    workspace_id: str


@dataclass(frozen=True, slots=True)
class Principal:
    """The key that a call was made with."""

    key_id: str
    scope: Scope
    is_admin: bool = False
