"""What an organization has used and what it costs, as reports."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby
from operator import itemgetter
from typing import Any

from antiphon.core.clock import Clock, rfc3339
from antiphon.core.scope import Scope
from antiphon.features.usage import store
from antiphon.features.usage.queries import FILTERS, CodeQuery, CostQuery, UsageQuery
from antiphon.ledger.report import WIDTHS, Span, Sum, buckets, page_token, place_of, span_of
from antiphon.ledger.results import DESCRIBED_BY, USAGE_DIMENSIONS, Actor, code_record, cost_results, usage_results
from antiphon.ledger.store import COUNTS, TOKENS, sums_of
from antiphon.store.connection import AsyncConnection
from antiphon.store.db import Database
from antiphon.wire.versions import Version

_DAY_S = 86_400


class Reports:
    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def usage(self, scope: Scope, version: Version, query: UsageQuery) -> dict[str, Any]:
        """One bucket after another; in each, a result for every group of which there was any call."""
        span = self._span(query, query.bucket_width)
        columns = [column for name in dict.fromkeys(query.group_by) if (column := USAGE_DIMENSIONS[name].column)]
        sums = await self._sums(scope, version, span, columns, _filters(query), TOKENS)
        return buckets(sums, span, lambda found: usage_results(found, query.group_by))

    async def cost(self, scope: Scope, version: Version, query: CostQuery) -> dict[str, Any]:
        span = self._span(query, query.bucket_width)
        columns = ["workspace_id"] if "workspace_id" in query.group_by else []
        if "description" in query.group_by:
            columns += DESCRIBED_BY
        sums = await self._sums(scope, version, span, columns, {}, COUNTS)
        return buckets(sums, span, lambda found: cost_results(found, query.group_by))

    async def claude_code(self, scope: Scope, query: CodeQuery) -> dict[str, Any]:
        """One day, a record for each member, and for each key that belongs to none."""
        started_at = datetime.combine(query.starting_at, datetime.min.time(), UTC).timestamp()
        async with self._database.read() as connection:
            found = await _by_actor(connection, scope, int(started_at // _DAY_S))
        after = place_of(query.page) if query.page else ""
        rest = [(actor, sums) for actor, sums in found if actor.id > after]
        page, has_more = rest[: query.limit], len(rest) > query.limit
        return {
            "data": [code_record(actor, sums, scope.organization_id, rfc3339(started_at)) for actor, sums in page],
            "has_more": has_more,
            "next_page": page_token(page[-1][0].id) if has_more else None,
        }

    def _span(self, query: UsageQuery | CostQuery, width: str) -> Span:
        return span_of(WIDTHS[width], query.starting_at, query.ending_at, query.limit, query.page, self._clock.now())

    async def _sums(
        self,
        scope: Scope,
        version: Version,
        span: Span,
        columns: Sequence[str],
        only: dict[str, list[str]],
        counts: Sequence[str],
    ) -> list[dict[str, Any]]:
        async with self._database.read() as connection:
            sums = await sums_of(connection, scope, span.width_s, span.first, span.last, columns, only, counts)
            if version is Version.V2023_06_01 and "workspace_id" in columns:
                default = await store.default_workspace(connection, scope)
                for sum_ in sums:
                    if sum_["workspace_id"] == default:
                        sum_["workspace_id"] = None  # it has no id in this version
        return sums


def _filters(query: UsageQuery) -> dict[str, list[str]]:
    """The values that count, for each column that is filtered."""
    only: dict[str, list[str]] = {}
    for filter_name, name in FILTERS.items():
        values = getattr(query, filter_name)
        if values is None:
            continue
        column, constant = USAGE_DIMENSIONS[name]
        if column:
            only[column] = [value for value in values if value]
        elif constant not in values:
            only["model"] = []  # no call of this server is such a one
    return only


async def _by_actor(connection: AsyncConnection, scope: Scope, day: int) -> list[tuple[Actor, list[Sum]]]:
    """Who has used Claude Code on `day`, sorted by id, and what, by model."""
    client = {"client": ["claude_code"]}
    by_user = await sums_of(connection, scope, _DAY_S, day, day + 1, ["user_id", "model"], client)
    by_key = await sums_of(connection, scope, _DAY_S, day, day + 1, ["key_id", "model"], client | {"user_id": [""]})
    emails = await store.emails_of_users(connection, scope)
    names = await store.names_of_keys(connection, scope)
    found: list[tuple[Actor, list[Sum]]] = []
    for user_id, sums in groupby(by_user, key=itemgetter("user_id")):
        if user_id:
            found.append((Actor(user_id, emails.get(user_id, user_id), None), list(sums)))
    for key_id, sums in groupby(by_key, key=itemgetter("key_id")):
        found.append((Actor(key_id, None, names.get(key_id, key_id)), list(sums)))
    return sorted(found, key=lambda one: one[0].id)
