"""What the member that a key belongs to may do. A key that belongs to nobody may do all that its kind allows.

Source: the Admin API's documentation, "Organization roles" and "Workspace roles".
"""

from antiphon.core.scope import Member

_MAKES_CALLS_ANYWHERE = frozenset(["developer", "admin", "managed", "owner", "primary_owner"])
_MAKES_CALLS_IN_WORKSPACE = frozenset(
    ["workspace_user", "workspace_developer", "workspace_restricted_developer", "workspace_admin"]
)
_ADMINISTERS = frozenset(["admin", "owner", "primary_owner"])
_READS_REPORTS = _ADMINISTERS | {"billing"}


def may_call(member: Member) -> bool:
    """Whether the member may call models. The role in the workspace, where there is one, counts alone."""
    if member.role is None:
        return True  # a key outlives the member that it belonged to
    if member.workspace_role:
        return member.workspace_role in _MAKES_CALLS_IN_WORKSPACE
    return member.role in _MAKES_CALLS_ANYWHERE


def may_administer(member: Member) -> bool:
    return member.role in _ADMINISTERS


def may_read_reports(member: Member) -> bool:
    return member.role in _READS_REPORTS
