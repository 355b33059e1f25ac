"""One item: what is known of it, and the call that it is."""

import json
from typing import Any, NamedTuple

from sqlalchemy import Row

from antiphon.core.errors import ApiError, Kind
from antiphon.core.scope import Member, Principal, Scope
from antiphon.encode.collect import collect
from antiphon.encode.jsonl import succeeded_line
from antiphon.features.batches.queue import Held
from antiphon.features.messages.books import Background, Caller
from antiphon.features.messages.service import Messages
from antiphon.wire.batch import params_of, parse_params
from antiphon.wire.versions import Version

MAX_ATTEMPTS = 3
"""How often an engine may fail at an item before that is its result."""


class Batch(NamedTuple):
    """What the items of a batch have in common."""

    id: str
    principal: Principal
    client: str
    version: Version
    betas: frozenset[str]
    expires_at: float

    @classmethod
    def of(cls, row: Row[Any]) -> "Batch":
        principal = Principal(
            row.key_id,
            Scope(row.organization_id, row.workspace_id),
            member=Member(row.user_id, None, None) if row.user_id else None,
            models=frozenset(json.loads(row.allowed_models)),
        )
        betas = frozenset(json.loads(row.betas))
        return cls(row.id, principal, row.client, Version(row.version), betas, row.expires_at)


class Item(NamedTuple):
    batch: Batch
    held: Held
    custom_id: str
    request: str
    num_attempts: int


async def perform(messages: Messages, item: Item, background: Background, *, strict: bool) -> str:
    """The line of its result: the very call that a client would make. Raises ApiError as that would."""
    batch = item.batch
    request = parse_params(params_of(item.request), batch.version, strict=strict, betas=batch.betas)
    async with messages.create(Caller(batch.principal, batch.client, background), request) as reply:
        message = await collect(reply.events)
    return succeeded_line(item.custom_id, message)


def is_worth_another_try(error: ApiError, item: Item) -> bool:
    """Whether the error is the engine's: one that is only busy is asked until the batch expires."""
    if error.kind is Kind.OVERLOADED:
        return True
    return error.kind in (Kind.INTERNAL, Kind.TIMEOUT) and item.num_attempts + 1 < MAX_ATTEMPTS
