"""The `anthropic-beta` header (Messages API, "Beta headers")."""

from collections.abc import Iterable

from antiphon.core.errors import invalid

KNOWN = frozenset(
    """
    message-batches-2024-09-24 prompt-caching-2024-07-31 pdfs-2024-09-25 token-counting-2024-11-01
    token-efficient-tools-2025-02-19 extended-cache-ttl-2025-04-11 cache-diagnosis-2026-04-07 files-api-2025-04-14
    skills-2025-10-02
    output-128k-2025-02-19 output-300k-2026-03-24 dev-full-thinking-2025-05-14 interleaved-thinking-2025-05-14
    context-1m-2025-08-07 model-context-window-exceeded-2025-08-26 fast-mode-2026-02-01 thinking-token-count-2026-05-13
    thinking-display-updates-2026-08-18 thinking-binding-controls-2026-08-01 task-budgets-2026-03-13
    structured-outputs-2025-11-13
    context-management-2025-06-27 compact-2026-01-12 compact-2026-09-04 message-threads-2026-08-12
    mid-conversation-tool-changes-2026-07-01 mid-conversation-output-config-2026-07-01
    mid-conversation-system-clear-at-2026-08-21 mid-conversation-system-2026-04-07 inline-tools-2026-09-15
    server-side-fallback-2026-06-01 server-side-fallback-2026-07-01 fallback-credit-2026-06-01
    fallback-credit-2026-07-01
    computer-use-2024-10-22 computer-use-2025-01-24 computer-use-2025-11-24 code-execution-2025-05-22
    mcp-client-2025-04-04 mcp-client-2025-11-20 mcp-client-2026-09-15 advisor-tool-2026-03-01 mcp-tunnels-2026-06-22
    managed-agents-2026-04-01 agent-memory-2026-07-22 dreaming-2026-04-21 user-profiles-2026-03-24
    user-profiles-2026-08-18 user-profiles-2026-09-04 user-profiles-billing-2026-10-01
    ce-plugins-2026-09-01 ce-user-management-2026-07-13 ce-claude-code-managed-settings-2026-10-06
    spend-limit-reads-2026-09-26 telemetry-destinations-2026-08-11 webhooks-2026-10-07 admin-user-sign-out-2026-10-08
    analytics-usage-cost-2026-08-24 experimental-claude-tag-2026-10-21
    oauth-2025-04-20 oidc-federation-2026-04-01 claude-code-20250219 fine-grained-tool-streaming-2025-05-14
    web-fetch-2025-09-10 web-search-2025-03-05 tool-search-tool-2025-10-19 advanced-tool-use-2025-11-20
    effort-2025-11-24 prompt-caching-scope-2026-01-05
    """.split()
)
"""What the SDKs name, and what clients are seen to send; the list only matters in strict mode."""


_NONE = frozenset[str]()


def from_header(values: str | Iterable[str] | None, *, strict: bool = False) -> frozenset[str]:
    """The betas of one header, a comma list, or of its repetitions; unknown ones are ApiError 400 when strict."""
    if values is None:
        return _NONE
    lines = (values,) if isinstance(values, str) else values
    named = [name.strip() for line in lines for name in line.split(",") if name.strip()]
    if strict and (unknown := [name for name in named if name not in KNOWN]):
        raise invalid(
            f"Unexpected value(s) {', '.join(f'`{name[:100]}`' for name in dict.fromkeys(unknown))} for the "
            "`anthropic-beta` header. Please consult our documentation at platform.claude.com/docs or try again "
            "without the header."
        )
    return frozenset(named)
