"""Where a call acts, as reply headers."""

from functools import lru_cache

from antiphon.core.scope import Scope


@lru_cache(maxsize=4096)
def place_headers(scope: Scope) -> tuple[tuple[bytes, bytes], tuple[bytes, bytes]]:
    return (
        (b"anthropic-organization-id", scope.organization_id.encode()),
        (b"anthropic-workspace-id", scope.workspace_id.encode()),
    )
