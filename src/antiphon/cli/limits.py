"""`antiphon limits`: how much organizations, workspaces and keys may do and spend, while the server runs."""

import re
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from antiphon.cli.options import AsJson, Config, DataDir, plain_errors, table, tell
from antiphon.core.errors import OperatorError
from antiphon.settings import Settings, load_settings

if TYPE_CHECKING:  # what a command needs is imported when it runs
    from antiphon.cli.books import Books
    from antiphon.wire.rates import LimitChange, LimitType, PartyKind

T = TypeVar("T")
_DOLLARS = re.compile(r"([0-9]{1,9})(?:\.([0-9]{2}))?")
_NONE = "none"
_MAX_NAME_CHARS = 256

app = typer.Typer(help="Show and set rate limits and spend limits.", no_args_is_help=True)


@app.command()
def show(data_dir: DataDir = None, config: Config = None, as_json: AsJson = False) -> None:
    """Show all limits that are set; `settings` are the server's, which hold where nothing was set."""

    async def read(books: "Books") -> dict[str, Any]:
        return await _shown(settings, books)

    with plain_errors():
        settings = load_settings(config, data_dir=data_dir)
        shown = _run(settings, read)
    tell(shown, table([("WHOSE", "MODEL", "LIMIT", "VALUE"), *_rows(shown)]), as_json=as_json)


@app.command("set")
def change(
    workspace: Annotated[str | None, typer.Option(help="The id of a workspace: wrkspc_…")] = None,
    key: Annotated[str | None, typer.Option(help="The id of a key: apikey_…")] = None,
    organization: Annotated[bool, typer.Option("--organization", help="The whole organization.")] = False,
    model: Annotated[
        str | None, typer.Option(help="Of this model only, by its id in /v1/models; by default of each.")
    ] = None,
    requests_per_minute: Annotated[str | None, typer.Option(metavar="N|none")] = None,
    input_tokens_per_minute: Annotated[
        str | None, typer.Option(metavar="N|none", help="Without what a cache had.")
    ] = None,
    output_tokens_per_minute: Annotated[str | None, typer.Option(metavar="N|none")] = None,
    concurrent_requests: Annotated[str | None, typer.Option(metavar="N|none")] = None,
    spend_per_month: Annotated[str | None, typer.Option(metavar="DOLLARS|none", help="25.00; of all models.")] = None,
    data_dir: DataDir = None,
    config: Config = None,
    as_json: AsJson = False,
) -> None:
    """Set limits, or take them away with `none`; 0 lets nothing pass. Running servers obey within a second."""
    with plain_errors():
        settings = load_settings(config, data_dir=data_dir)
        party = _party(workspace, key, is_organization=organization)
        changes = _changes(
            {
                "requests_per_minute": requests_per_minute,
                "input_tokens_per_minute_cache_aware": input_tokens_per_minute,
                "output_tokens_per_minute": output_tokens_per_minute,
                "concurrent_requests": concurrent_requests,
            }
        )
        if not changes and spend_per_month is None:
            raise OperatorError(
                "Say which limit: --requests-per-minute 20, for instance; see `antiphon limits set --help`."
            )
        if model and spend_per_month is not None:
            raise OperatorError("What may be spent is of all models together: set it without --model.")
        cents = None if spend_per_month is None else _cents(spend_per_month)
        if model and len(model) > _MAX_NAME_CHARS:
            raise OperatorError(f"No model has a name of more than {_MAX_NAME_CHARS} characters.")
        shown = _run(settings, lambda books: _set(settings, books, party, model, changes, cents))
    tell(shown, table([("WHOSE", "MODEL", "LIMIT", "VALUE"), *_rows(shown)]), as_json=as_json)


async def _set(
    settings: Settings,
    books: "Books",
    party: "tuple[PartyKind, str]",
    model: str | None,
    changes: "list[LimitChange]",
    cents: str | None,
) -> dict[str, Any]:
    from antiphon.engines.catalog import Catalog
    from antiphon.features.rates.service import Rates
    from antiphon.features.rates.spends import SpendLimits
    from antiphon.store.accounts import OPERATOR

    kind, party_id = party[0], party[1] or books.home.organization_id
    if changes:
        model_class = await _class_of(settings, books, model) if model else ""
        rates = Rates(books.accounts, Catalog({}), settings)
        await rates.set(books.home, OPERATOR, kind, party_id, model_class, changes)
    spends = SpendLimits(books.accounts)
    if cents == _NONE:
        await spends.remove(books.home, OPERATOR, kind, party_id)
    elif cents is not None:
        await spends.set(books.home, OPERATOR, kind, party_id, cents)
    return await _shown(settings, books)


async def _shown(settings: Settings, books: "Books") -> dict[str, Any]:
    from antiphon.engines.catalog import Catalog
    from antiphon.features.rates.service import Rates
    from antiphon.features.rates.spends import SpendLimits
    from antiphon.store.served import read_served

    served = await read_served(books.accounts.database)
    return {
        "settings": served.rate_limits if served else settings.rate_limits.model_dump(),
        "rate_limits": await Rates(books.accounts, Catalog({}), settings).stored(books.home),
        "spend_limits": await SpendLimits(books.accounts).stored(books.home),
    }


def _run(settings: Settings, work: Callable[["Books"], Coroutine[Any, Any, T]]) -> T:
    from antiphon.cli.books import with_books

    return with_books(settings, work, "See `antiphon workspaces list` and `antiphon keys list`.")


def _party(workspace: str | None, key: str | None, *, is_organization: bool) -> "tuple[PartyKind, str]":
    """Whose limits; without an id for the organization."""
    if [workspace is not None, key is not None, is_organization].count(True) != 1:
        raise OperatorError("Say whose limits: one of --workspace ID, --key ID and --organization.")
    if is_organization:
        return "organization", ""
    return ("workspace", workspace) if workspace is not None else ("key", key or "")


def _changes(values: "dict[LimitType, str | None]") -> "list[LimitChange]":
    from antiphon.wire.rates import LimitChange

    return [LimitChange(type=name, value=_number(text)) for name, text in values.items() if text is not None]


def _number(text: str) -> int | None:
    if text == _NONE:
        return None
    if not re.fullmatch(r"[0-9]{1,15}", text):
        raise OperatorError(f"{text!r} is no limit: give a whole number, or none.")
    return int(text)


def _cents(text: str) -> str:
    if text == _NONE:
        return _NONE
    found = _DOLLARS.fullmatch(text)
    if not found:
        raise OperatorError(f"{text!r} is no amount: give dollars, such as 25 or 25.00, or none.")
    return str(int(found[1]) * 100 + int(found[2] or 0))


async def _class_of(settings: Settings, books: "Books", model: str) -> str:
    """The class of models that `model` means to the server. Aliases of these `settings` count first."""
    from antiphon.store.served import read_served

    served = await read_served(books.accounts.database)
    if served is None:
        raise OperatorError("Which models there are is known once the server has been ready: start `antiphon serve`.")
    served = served._replace(aliases={**served.aliases, **settings.aliases})
    if (meant := served.model_of(model)) is None:
        raise OperatorError(f"There is no model {model!r}: the server has {', '.join(served.models)}.")
    return meant


def _rows(shown: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    rows = [("settings", "", name, f"{value:,}") for name, value in shown["settings"].items()]
    for entry in shown["rate_limits"]:
        place = (entry["party"]["id"], entry["model"] or "")
        rows += [(*place, limit["type"], f"{limit['value']:,}") for limit in entry["limits"]]
    for spend in shown["spend_limits"]:
        whose = spend["scope"].get("workspace_id") or spend["scope"].get("api_key_id") or "the organization"
        cents = int(spend["amount"])
        rows.append((whose, "", "spend_per_month", f"${cents // 100:,}.{cents % 100:02d}"))
    return rows
