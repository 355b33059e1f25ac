"""`antiphon keys`: make, list, rotate and revoke keys, while the server runs."""

import json
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors, table, tell
from antiphon.core.errors import OperatorError
from antiphon.settings import load_settings

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from antiphon.cli.books import Books
    from antiphon.core.scope import Scope
    from antiphon.features.keys.service import Keys, Made

T = TypeVar("T")
_DURATION = re.compile(r"([0-9]{1,4})([smhdw])")
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}

app = typer.Typer(help="Make, list, rotate and revoke keys.", no_args_is_help=True)

KeyId = Annotated[str, typer.Argument(help="The id of a key: apikey_…")]


@app.command()
def create(
    name: Annotated[str, typer.Option(help="What the key is for.")],
    workspace: Annotated[str | None, typer.Option(help="The id of its workspace; by default the default one.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="Make an admin key, which calls the Admin API.")] = False,
    expires_in: Annotated[str | None, typer.Option(help="How long it works: 30d, 12h; by default for ever.")] = None,
    model: Annotated[list[str] | None, typer.Option(help="A model that it may use; by default all.")] = None,
    address: Annotated[
        list[str] | None, typer.Option(help="An IP address or a network that it may be used from; by default all.")
    ] = None,
    aws: Annotated[bool, typer.Option("--aws", help="With a pair for clients that sign, as AWS's do.")] = False,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a key, and print it this once."""
    from antiphon.store.accounts import OPERATOR
    from antiphon.wire.admin import KeyCreate
    from antiphon.wire.parse import parse_fields

    async def make(keys: "Keys", home: "Scope") -> dict[str, Any]:
        return _shown_once(await keys.create(home, parse_fields(KeyCreate, body), OPERATOR), home)

    with plain_errors():
        if admin and aws:
            raise OperatorError("An admin key has no pair to sign with: leave out --admin or --aws.")
        wish: dict[str, Any] = {"name": name, "workspace_id": workspace, "kind": "admin" if admin else "api"}
        wish |= {"allowed_models": model or [], "allowed_addresses": address or []}
        wish["expires_at"] = _in_future(expires_in) if expires_in else None
        body = json.dumps({field: value for field, value in wish.items() if value is not None}).encode()
        shown = _with_keys(data_dir, config, make)
        try:
            shown |= _pair_of(shown["id"], data_dir, config) if aws else {}
        except OperatorError as error:
            raise OperatorError(
                f"The key is made, but no pair ({error}) "
                f"Revoke it with `antiphon keys revoke {shown['id']}`, then try again."
            ) from error
        finally:  # the key is in the books, and shown this once
            tell(shown, _words_of_new(shown), as_json=as_json)


def _pair_of(key_id: str, data_dir: Path | None, config: Path | None) -> dict[str, str]:
    from antiphon.cli.books import with_books
    from antiphon.store.accounts import OPERATOR
    from antiphon.store.aws import NewPair, add_pair

    async def add(books: "Books") -> NewPair:
        return await add_pair(books.accounts, books.secret, books.home, OPERATOR, key_id)

    return with_books(load_settings(config, data_dir=data_dir), add)._asdict()


@app.command("list")
def list_all(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show all keys, the newest first."""
    with plain_errors():
        shown = _with_keys(data_dir, config, _all)
    heads = ("ID", "NAME", "KIND", "STATUS", "HINT", "WORKSPACE", "EXPIRES")
    tell(shown, table([heads, *map(_cells, shown)]), as_json=as_json)


@app.command()
def rotate(
    key_id: KeyId,
    grace: Annotated[str, typer.Option(help="How long the old key goes on: 1h, 2d.")] = "0s",
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Make a new key with the settings of an old one, and end that."""
    from antiphon.store.accounts import OPERATOR
    from antiphon.wire.admin import KeyRotate
    from antiphon.wire.parse import parse_fields

    async def make(keys: "Keys", home: "Scope") -> dict[str, Any]:
        wish = parse_fields(KeyRotate, body)
        return _shown_once(await keys.rotate(home, key_id, wish.grace_s, OPERATOR), home)

    with plain_errors():
        body = json.dumps({"grace_s": _seconds(grace)}).encode()
        shown = _with_keys(data_dir, config, make)
    tell(shown, _words_of_new(shown), as_json=as_json)


@app.command()
def revoke(key_id: KeyId, data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """End a key for good. Running servers refuse it within a second."""
    from antiphon.store.accounts import OPERATOR
    from antiphon.wire.admin import KeyUpdate

    async def archive(keys: "Keys", home: "Scope") -> dict[str, Any]:
        return _shown(await keys.update(home, key_id, KeyUpdate(status="archived"), OPERATOR), home)

    with plain_errors():
        shown = _with_keys(data_dir, config, archive)
    tell(shown, f"The key {key_id} is revoked.", as_json=as_json)


def _with_keys(
    data_dir: Path | None, config: Path | None, work: Callable[["Keys", "Scope"], Coroutine[Any, Any, T]]
) -> T:
    from antiphon.cli.books import with_books
    from antiphon.core.clock import SystemClock
    from antiphon.features.keys.service import Keys

    async def run(books: "Books") -> T:
        return await work(Keys(books.accounts, books.secret.pepper, SystemClock()), books.home)

    unknown = "See `antiphon keys list` and `antiphon workspaces list`."
    return with_books(load_settings(config, data_dir=data_dir), run, unknown)


async def _all(keys: "Keys", home: "Scope") -> list[dict[str, Any]]:
    from antiphon.web.pages import Page
    from antiphon.wire.admin import KeyFilter

    shown: list[dict[str, Any]] = []
    has_more = True
    while has_more:
        page = Page(after_id=shown[-1]["id"] if shown else None, before_id=None, limit=1000)
        rows, has_more = await keys.list(home, page, KeyFilter())
        shown += [_shown(row, home) for row in rows]
    return shown


def _shown(row: Any, home: "Scope") -> dict[str, Any]:
    from antiphon.core.clock import SystemClock
    from antiphon.features.keys.service import describe_fully
    from antiphon.wire.versions import Version

    return describe_fully(row, home, Version.V2026_10_21, SystemClock().now())


def _shown_once(made: "Made", home: "Scope") -> dict[str, Any]:
    return _shown(made.row, home) | {"key": made.key}


def _words_of_new(shown: dict[str, Any]) -> str:
    words = f"The key {shown['id']} ({shown['name']}), shown this once: {shown['key']}"
    if "access_key_id" in shown:
        words += f"\n  AWS_ACCESS_KEY_ID={shown['access_key_id']}\n  AWS_SECRET_ACCESS_KEY={shown['secret_access_key']}"
    return words


def _cells(shown: dict[str, Any]) -> list[str]:
    place = shown["scope"].get("workspace_id", "")
    names = ("id", "name", "kind", "status", "partial_key_hint")
    return [*(shown[name] for name in names), place, shown["expires_at"] or "never"]


def _seconds(duration: str) -> int:
    found = _DURATION.fullmatch(duration)
    if not found:
        raise OperatorError(f"{duration!r} is no duration: give a number and one of s, m, h, d and w, such as 30d.")
    return int(found[1]) * _UNITS_S[found[2]]


def _in_future(duration: str) -> str:
    from antiphon.core.clock import SystemClock, rfc3339

    return rfc3339(SystemClock().now() + _seconds(duration))
