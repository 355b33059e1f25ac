"""GET /v1/models and /v1/models/{id}."""

from starlette.routing import Route

from antiphon.core.errors import invalid
from antiphon.engines.catalog import Catalog
from antiphon.features.models.service import describe, list_models
from antiphon.web.body import check_path_is_text
from antiphon.web.call import Call
from antiphon.web.pages import page_of, parse_page
from antiphon.web.routing import route

_LIFECYCLES = ("active", "deprecated", "retired")


def routes(catalog: Catalog) -> list[Route]:
    async def list_page(call: Call) -> None:
        query = call.query()
        models = list_models(catalog) if "active" in _lifecycles(query) else []
        await call.reply_json(page_of(models, parse_page(query)))

    async def retrieve(call: Call) -> None:
        name = check_path_is_text(call.params["model_id"])
        await call.reply_json(describe(catalog.resolve(name)))

    return [
        route("/v1/models", GET=list_page),
        route("/v1/models/{model_id:path}", GET=retrieve),
    ]


def _lifecycles(query: dict[str, list[str]]) -> list[str]:
    """The lifecycles asked for, active ones by default. Raises 400 for one that there is not."""
    wanted = query.get("lifecycle[]") or query.get("lifecycle") or ["active"]
    if unknown := [name for name in wanted if name not in _LIFECYCLES]:
        raise invalid(f"lifecycle: Input should be 'active', 'deprecated' or 'retired', not '{unknown[0][:100]}'")
    return wanted
