"""Who a call is counted for, as its head tells."""

from antiphon.features.messages.books import Caller
from antiphon.ledger.record import client_of
from antiphon.web.call import Call

_SESSION = (b"x-claude-code-session-id", b"x-claude-code-agent-id")


def caller_of(call: Call) -> Caller:
    session = "\0".join([call.header(name) or "" for name in _SESSION]).rstrip("\0")
    return Caller(call.principal, client_of(call.header(b"user-agent")), session=session)
