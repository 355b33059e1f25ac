"""Calls as the ledger writes them."""

from typing import Any

from antiphon.ledger.price import Prices
from antiphon.ledger.record import Ending, Entry, Start, end_of
from antiphon.wire.events import Usage

NOON = 1_800_014_400.0
"""2027-01-15T12:00:00Z."""


def start(message_id: str = "msg_1", **fields: Any) -> Start:
    values = {
        "message_id": message_id,
        "organization_id": "org_1",
        "workspace_id": "wrkspc_1",
        "key_id": "apikey_1",
        "user_id": "",
        "model": "echo",
        "service_tier": "standard",
        "client": "",
        "started_at": NOON,
        "num_input": 10,
    }
    return Start(**(values | fields))


def entry(
    message_id: str = "msg_1",
    usage: Usage | None = None,
    prices: Prices | None = None,
    ending: Ending = "done",
    ended_at: float = NOON + 1,
    web_searches: int = 0,
    **fields: Any,
) -> Entry:
    first = start(message_id, **fields)
    used = usage or Usage(10, 5)
    return Entry(first, end_of(first, used, prices or Prices({}), ending, ended_at, 1000.0, 250.0, web_searches))
