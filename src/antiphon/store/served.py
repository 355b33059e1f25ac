"""What the running server serves, for the commands beside it: they know neither its models nor its settings."""

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from sqlalchemy import delete, insert, select

from antiphon.core.errors import ApiError
from antiphon.settings import Settings
from antiphon.store.connection import AsyncConnection
from antiphon.store.db import Database
from antiphon.store.tables import facts


class Served(NamedTuple):
    """The names of the models, the default one first; aliases; and the limits of an organization without its own."""

    models: Sequence[str]
    aliases: Mapping[str, str]
    rate_limits: Mapping[str, int]

    @classmethod
    def of(cls, models: Iterable[str], settings: Settings) -> "Served":
        return cls(list(models), settings.aliases, settings.rate_limits.model_dump())

    def model_of(self, name: str) -> str | None:
        """The model that `name` means to the server, as its catalog says; None where it means none."""
        meant = self.aliases.get(name, name)
        known = next((model for model in (name, meant) if model in self.models), None)
        return self.models[0] if known is None and name.startswith("claude-") else known


async def tell_served(database: Database, served: Served) -> None:
    """Keep `served`. Of servers with one database the last to start counts; one that is away changes nothing."""
    with suppress(ApiError):  # told by the database, and only commands would miss it
        async with database.write() as connection:
            await connection.execute(select(facts).where(facts.c.name == "secret").with_for_update())  # one at a time
            await connection.execute(delete(facts).where(facts.c.name.in_(served._fields)))
            for name, value in served._asdict().items():
                await connection.execute(insert(facts).values(name=name, value=json.dumps(value)))


async def read_served(database: Database) -> Served | None:
    """What the server has told; None before it has been ready for the first time."""
    async with database.read() as connection:
        known = await _known(connection)
    return Served(**known) if len(known) == len(Served._fields) else None


async def _known(connection: AsyncConnection) -> dict[str, Any]:
    rows = await connection.execute(select(facts.c.name, facts.c.value).where(facts.c.name.in_(Served._fields)))
    return {name: json.loads(value) for name, value in rows}
