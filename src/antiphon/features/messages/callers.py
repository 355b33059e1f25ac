"""Who a call is counted for, as its head tells."""

from antiphon.features.messages.books import Caller
from antiphon.web.call import Call


def caller_of(call: Call) -> Caller:
    agent = call.headers.get(b"user-agent", b"")
    return Caller(call.principal, "claude_code" if agent.startswith(b"claude-cli/") else "")
