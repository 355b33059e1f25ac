"""Pairs of an access key id and a secret, on both databases."""

import pytest
from cryptography.exceptions import InvalidTag
from sqlalchemy import select, update

from antiphon.core.clock import ManualClock
from antiphon.core.errors import ApiError
from antiphon.core.scope import Scope
from antiphon.store import tables
from antiphon.store.accounts import OPERATOR
from antiphon.store.aws import NewPair, add_pair
from antiphon.store.directory import MAX_AGE_S, Directory
from tests.fixtures.databases import BACKENDS, SECRET, Books, books

pytestmark = pytest.mark.parametrize("backend", BACKENDS)


async def key_of(own: Books, kind: str = "api") -> str:
    """The id of the first key of `kind`."""
    async with own.database.read() as connection:
        keys = tables.api_keys
        return (await connection.execute(select(keys.c.id).where(keys.c.kind == kind))).scalar_one()


async def made_pair(own: Books) -> NewPair:
    return await add_pair(own.accounts, SECRET, own.scope, OPERATOR, await key_of(own))


async def test_a_pair_signs_for_its_key(backend: str):
    async with books(backend) as own:
        made = await made_pair(own)
        found = await own.directory.find_pair(made.access_key_id)
        assert found
        assert own.first.api
        assert found.principal == own.directory.holder_of(own.first.api)
        assert own.directory.secret_of(made.access_key_id, found) == made.secret_access_key
        assert await own.directory.find_pair("ANTAAAAAAAAAAAAAAAAA") is None
    assert (made.access_key_id[:4], len(made.access_key_id), len(made.secret_access_key)) == ("ANTA", 20, 40)


async def test_a_pair_ends_with_its_key_within_a_second_in_every_process(backend: str):
    clock = ManualClock()
    async with books(backend, clock) as own:
        made = await made_pair(own)
        other = Directory(own.database, SECRET.pepper, clock)
        assert await other.find_pair(made.access_key_id)
        async with own.accounts.change(own.scope, OPERATOR) as change:
            await change.connection.execute(update(tables.api_keys).values(status="archived"))
        assert await own.directory.find_pair(made.access_key_id) is None
        clock.advance(MAX_AGE_S)
        assert await other.find_pair(made.access_key_id) is None


async def test_a_secret_is_sealed_for_its_id_alone(backend: str):
    async with books(backend) as own:
        one, other = await made_pair(own), await made_pair(own)
        async with own.database.read() as connection:
            rows = (await connection.execute(select(tables.aws_keys))).all()
        assert one.secret_access_key not in str(rows)
        pair = own.directory.now.pairs[other.access_key_id]
        with pytest.raises(InvalidTag):
            own.directory.secret_of(one.access_key_id, pair)


async def test_a_pair_is_made_only_for_an_api_key_of_the_organization(backend: str):
    async with books(backend) as own:
        mine, foreign = await key_of(own), Scope("org_other", "wrkspc_other")
        for scope, key_id in (
            (foreign, mine),
            (own.scope, "apikey_nobodys"),
            (own.scope, await key_of(own, "admin")),
        ):
            with pytest.raises(ApiError, match="API key not found"):
                await add_pair(own.accounts, SECRET, scope, OPERATOR, key_id)
        assert not own.directory.now.pairs
