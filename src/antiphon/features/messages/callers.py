"""Who a call is counted for, as its head tells."""

from antiphon.features.messages.books import Caller
from antiphon.ledger.record import client_of
from antiphon.web.call import Call

_SESSION = (b"x-claude-code-session-id", b"x-claude-code-agent-id")


def caller_of(call: Call) -> Caller:
    return Caller(call.principal, client_of(call.header(b"user-agent")), session=_session_of(call))


def _session_of(call: Call) -> str:
    if not any(map(call.headers.__contains__, _SESSION)):
        return ""
    return "\0".join([call.header(name) or "" for name in _SESSION]).rstrip("\0")
