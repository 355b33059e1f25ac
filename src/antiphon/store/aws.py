"""Pairs of an access key id and a secret access key, for clients that sign their requests instead of sending a key.

A pair signs for a key like any other: what is allowed to that key, its limits and its end are those of the pair.
"""

import secrets
import string
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import insert

from antiphon.core.scope import Scope
from antiphon.core.secrets import digest, new_key
from antiphon.store import tables
from antiphon.store.accounts import Accounts, Actor, NewKey, add_key
from antiphon.store.secret import Secret

_PREFIX = "ANTA"
_ID_ALPHABET = string.ascii_uppercase + "234567"
_SECRET_ALPHABET = string.ascii_letters + string.digits


class NewPair(NamedTuple):
    """A pair in the clear: its secret is shown this once."""

    key_id: str
    access_key_id: str
    secret_access_key: str


async def create_pair(
    accounts: Accounts, secret: Secret, scope: Scope, actor: Actor, name: str, *, models: Sequence[str] = ()
) -> NewPair:
    """A new key of the workspace of `scope` that can only sign: the text of the key itself is thrown away."""
    access_key_id = _PREFIX + _random(_ID_ALPHABET, 16)
    secret_access_key = _random(_SECRET_ALPHABET, 40)
    nobodys = digest(secret.pepper, new_key("api"))
    async with accounts.change(scope, actor) as change:
        new = NewKey("api", name, nobodys, access_key_id, allowed_models=models)
        key_id = await add_key(change.connection, scope, new, change.now)
        await change.connection.execute(
            insert(tables.aws_keys).values(
                access_key_id=access_key_id,
                key_id=key_id,
                organization_id=scope.organization_id,
                secret=secret.seal(access_key_id, secret_access_key),
            )
        )
        await change.note("api_key.created", key_id, kind="api", name=name, access_key_id=access_key_id)
    return NewPair(key_id, access_key_id, secret_access_key)


def _random(alphabet: str, num_chars: int) -> str:
    return "".join(secrets.choice(alphabet) for _ in range(num_chars))
