"""Pairs of an access key id and a secret access key, for clients that sign their requests instead of sending a key.

A pair signs for an API key: what is allowed to that key, its limits and its end are those of the pair.
"""

import secrets
import string
from typing import NamedTuple

from sqlalchemy import insert, select

from antiphon.core.errors import ApiError, Kind
from antiphon.core.scope import Scope
from antiphon.store import tables
from antiphon.store.accounts import Accounts, Actor
from antiphon.store.secret import Secret

_PREFIX = "ANTA"
_ID_ALPHABET = string.ascii_uppercase + "234567"
_SECRET_ALPHABET = string.ascii_letters + string.digits


class NewPair(NamedTuple):
    """A pair in the clear: its secret is shown this once."""

    access_key_id: str
    secret_access_key: str


async def add_pair(accounts: Accounts, secret: Secret, scope: Scope, actor: Actor, key_id: str) -> NewPair:
    """A new pair that signs for the API key `key_id` of the organization. Raises 404 for any other."""
    pair = NewPair(_PREFIX + _random(_ID_ALPHABET, 16), _random(_SECRET_ALPHABET, 40))
    keys = tables.api_keys
    mine = (keys.c.organization_id == scope.organization_id, keys.c.id == key_id, keys.c.kind == "api")
    async with accounts.change(scope, actor) as change:
        if (await change.connection.execute(select(keys.c.id).where(*mine))).first() is None:
            raise ApiError(Kind.NOT_FOUND, "API key not found.")
        await change.connection.execute(
            insert(tables.aws_keys).values(
                access_key_id=pair.access_key_id,
                key_id=key_id,
                organization_id=scope.organization_id,
                secret=secret.seal(pair.access_key_id, pair.secret_access_key),
            )
        )
        await change.note("api_key.pair_created", key_id, access_key_id=pair.access_key_id)
    return pair


def _random(alphabet: str, num_chars: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(num_chars))
