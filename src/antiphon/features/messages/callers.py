"""Who a call is counted for, as its head tells."""

from antiphon.features.messages.books import Caller
from antiphon.ledger.record import client_of
from antiphon.web.call import Call


def caller_of(call: Call) -> Caller:
    return Caller(call.principal, client_of(call.header(b"user-agent")))
