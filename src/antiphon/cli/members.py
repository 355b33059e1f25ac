"""`antiphon members` and `antiphon invites`: who belongs to the organization, while the server runs."""

import json
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors, table, tell
from antiphon.core.scope import OrganizationRole
from antiphon.settings import load_settings

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from antiphon.cli.books import Books
    from antiphon.wire.fields import WireModel

T = TypeVar("T")
M = TypeVar("M", bound="WireModel")
GivenRole = Literal["user", "developer", "billing", "claude_code_user"]

app = typer.Typer(help="Add, list and remove members.", no_args_is_help=True)
invites = typer.Typer(help="Invite members. Nothing is mailed: accept an invite here.", no_args_is_help=True)

UserId = Annotated[str, typer.Argument(help="The id of a member: user_…")]
InviteId = Annotated[str, typer.Argument(help="The id of an invite: invite_…")]
Email = Annotated[str, typer.Option(help="Their e-mail address.")]
Name = Annotated[str, typer.Option(help="Their name.")]


@app.command()
def add(
    email: Email,
    name: Name,
    role: Annotated[OrganizationRole, typer.Option(help="What they may do.")] = "developer",
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Add a member at once, with any role."""
    from antiphon.features.members.service import Users
    from antiphon.store.accounts import OPERATOR
    from antiphon.wire.members import UserAdd

    async def join(books: "Books") -> dict[str, Any]:
        new = _parsed(UserAdd, email=email, name=name, role=role)
        return await Users(books.accounts).add(books.home, OPERATOR, new.email, new.name, new.role)

    with plain_errors():
        user = _run(data_dir, config, join)
    tell(user, f"{user['email']} is a member: {user['id']} ({role}).", as_json=as_json)


@app.command("list")
def list_members(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show all members, the newest first."""
    from antiphon.features.members.service import Users
    from antiphon.wire.members import UserFilter

    async def read(books: "Books") -> list[dict[str, Any]]:
        users = Users(books.accounts)
        return await _all(lambda page: users.list(books.home, page, UserFilter()))

    with plain_errors():
        users = _run(data_dir, config, read)
    names = ("id", "email", "name", "role", "added_at")
    tell(users, _table(users, names), as_json=as_json)


@app.command()
def remove(user_id: UserId, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Remove a member. Keys that their role let work go on as nobody's: end them with `antiphon keys revoke`."""
    from antiphon.features.members.service import Users
    from antiphon.store.accounts import OPERATOR

    with plain_errors():
        done = _run(data_dir, config, lambda books: Users(books.accounts).remove(books.home, OPERATOR, user_id))
    tell(done, f"The member {user_id} is removed. Keys that worked go on: see `antiphon keys list`.", as_json=as_json)


@invites.command()
def create(
    email: Email,
    role: Annotated[GivenRole, typer.Option(help="What they will be allowed to do.")] = "developer",
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Invite somebody, for 21 days. Nothing is mailed."""
    from antiphon.features.members.service import Invites
    from antiphon.store.accounts import OPERATOR
    from antiphon.wire.members import InviteCreate

    async def invite(books: "Books") -> dict[str, Any]:
        new = _parsed(InviteCreate, email=email, role=role)
        return await Invites(books.accounts).create(books.home, OPERATOR, new.email, new.role)

    with plain_errors():
        made = _run(data_dir, config, invite)
    words = f"{made['email']} is invited. `antiphon invites accept {made['id']} --name NAME` makes them a member."
    tell(made, words, as_json=as_json)


@invites.command("list")
def list_invites(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show all invites, the newest first."""
    from antiphon.core.clock import SystemClock
    from antiphon.features.members.service import Invites
    from antiphon.wire.members import InviteFilter

    async def read(books: "Books") -> list[dict[str, Any]]:
        every, now = Invites(books.accounts), SystemClock().now()
        return await _all(lambda page: every.list(books.home, page, InviteFilter(), now))

    with plain_errors():
        found = _run(data_dir, config, read)
    tell(found, _table(found, ("id", "email", "role", "status", "expires_at")), as_json=as_json)


@invites.command()
def accept(
    invite_id: InviteId,
    name: Name,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a member of who was invited."""
    from antiphon.features.members.service import Invites
    from antiphon.store.accounts import OPERATOR
    from antiphon.wire.members import InviteAccept

    async def join(books: "Books") -> dict[str, Any]:
        new = _parsed(InviteAccept, name=name)
        return await Invites(books.accounts).accept(books.home, OPERATOR, invite_id, new.name)

    with plain_errors():
        user = _run(data_dir, config, join)
    tell(user, f"{user['email']} is a member: {user['id']} ({user['role']}).", as_json=as_json)


@invites.command()
def delete(invite_id: InviteId, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Take an invite back."""
    from antiphon.features.members.service import Invites
    from antiphon.store.accounts import OPERATOR

    with plain_errors():
        done = _run(data_dir, config, lambda books: Invites(books.accounts).delete(books.home, OPERATOR, invite_id))
    tell(done, f"The invite {invite_id} is taken back.", as_json=as_json)


def _run(data_dir: Path | None, config: Path | None, work: Callable[["Books"], Coroutine[Any, Any, T]]) -> T:
    from antiphon.cli.books import with_books

    unknown = "See `antiphon members list` and `antiphon invites list`."
    return with_books(load_settings(config, data_dir=data_dir), work, unknown)


def _parsed(kind: type[M], **fields: str) -> M:
    from antiphon.wire.parse import parse_fields

    return parse_fields(kind, json.dumps(fields).encode())


async def _all(read: Callable[[Any], Coroutine[Any, Any, dict[str, Any]]]) -> list[dict[str, Any]]:
    """All rows of a list that comes in pages."""
    from antiphon.web.pages import Page

    listing = await read(Page(None, None, 1000))
    rows: list[dict[str, Any]] = listing["data"]
    while listing["has_more"]:
        listing = await read(Page(listing["last_id"], None, 1000))
        rows += listing["data"]
    return rows


def _table(rows: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    heads = [name.upper().replace("_", " ") for name in names]
    return table([heads, *([str(row[name]) for name in names] for row in rows)])
