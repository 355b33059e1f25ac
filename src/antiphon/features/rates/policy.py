"""From the accounts in memory to the limits that a call is counted against. Asks no database."""

from collections.abc import Sequence

from antiphon.core.scope import Principal
from antiphon.limits.policy import UNLIMITED, Party, PartyKind, Rates
from antiphon.settings import RateLimits
from antiphon.store.directory import Directory, Snapshot

Limit = tuple[str, str, int]
"""(class of models, type, value)"""


class Policy:
    """The parties of every caller. Each is worked out once for each change of the accounts."""

    def __init__(self, directory: Directory, defaults: RateLimits) -> None:
        self._directory = directory
        self._defaults = defaults
        self._number = -1
        self._known: dict[str, tuple[Party, ...]] = {}

    def parties_of(self, principal: Principal) -> tuple[Party, ...]:
        now = self._directory.now
        if now.number != self._number:
            self._number, self._known = now.number, {}
        parties = self._known.get(principal.key_id)
        if parties is None:
            parties = self._known[principal.key_id] = rates_of(now, self._defaults, principal)
        return parties


def rates_of(snapshot: Snapshot, defaults: RateLimits, principal: Principal) -> tuple[Party, ...]:
    """The organization, the workspace and the key of `principal`."""
    scope = principal.scope
    callers: tuple[tuple[PartyKind, str], ...] = (
        ("organization", scope.organization_id),
        ("workspace", scope.workspace_id),
        ("key", principal.key_id),
    )
    return tuple(party_of(*who, snapshot.rates.get(who, ()), defaults, snapshot.budgets.get(who)) for who in callers)


def party_of(
    kind: PartyKind, id: str, rows: Sequence[Limit], defaults: RateLimits, spend_limit: int | None = None
) -> Party:
    """`rows` are what is stored for the party. Of what is not, an organization has the `defaults`."""
    base = Rates(**defaults.model_dump()) if kind == "organization" else UNLIMITED
    rates = _changed(base, rows, "")
    by_class = {name: _changed(rates, rows, name) for name, _, _ in rows if name}
    return Party(kind, id, rates, by_class, spend_limit)


def _changed(rates: Rates, rows: Sequence[Limit], model_class: str) -> Rates:
    return rates._replace(**{field: value for name, field, value in rows if name == model_class})
