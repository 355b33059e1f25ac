"""Rate limits as the Admin API shows them: an entry for each class of models, which here is one model."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from antiphon.core.errors import ApiError
from antiphon.engines.catalog import Catalog
from antiphon.limits.policy import Party, Rates
from antiphon.wire.rates import LIMIT_TYPES, LimitType
from antiphon.wire.versions import Version

Object = dict[str, Any]

_FIELDS: Mapping[LimitType, str] = {"input_tokens_per_minute_cache_aware": "input_tokens_per_minute"}


def field_of(type: LimitType) -> str:
    """The limit's name in `Rates`, in the settings and in the database."""
    return _FIELDS.get(type, type)


def type_of(field: str) -> str:
    """The limit's name in the API."""
    return next((known for known, name in _FIELDS.items() if name == field), field)


class Group(NamedTuple):
    """A class of models, by its own name, with every name that means a model of it."""

    model_class: str
    models: Sequence[str]

    @property
    def id(self) -> str:
        return f"rlg_01{_hash(self.model_class)}"

    def entry_id(self, organization_id: str) -> str:
        """The id of the organization's limits for this group. It differs between organizations, as the API's does."""
        return f"rl_01{_hash(f'{organization_id}/{self.model_class}')}"


def groups_of(catalog: Catalog, aliases: Mapping[str, str]) -> list[Group]:
    """In the order of the catalog."""
    meant = {alias: class_of(catalog, name) for alias, name in aliases.items()}
    labels = dict.fromkeys(model.label for model in catalog.models)
    return [Group(label, [label, *(alias for alias, name in meant.items() if name == label)]) for label in labels]


def class_of(catalog: Catalog, name: str) -> str | None:
    try:
        return catalog.resolve(name).label
    except ApiError:
        return None


def describe(group: Group, party: Party, version: Version) -> Object:
    """The limits of an organization. The API's older version also has `group_type`."""
    rates = party.rates_of(group.model_class)
    limits = [{"type": name, "value": value} for name, value in _each(rates) if value is not None]
    return {"id": group.entry_id(party.id), "type": "rate_limit", **_what(group, version), "limits": limits}


def describe_workspace(
    group: Group, organization: Party, workspace: Party, version: Version, *, include_inherited: bool
) -> Object:
    """The limits of a workspace, each beside the organization's; on request with those that are only the latter's."""
    whole = organization.rates_of(group.model_class)._asdict()
    limits: list[Object] = []
    for name, value in _each(workspace.rates_of(group.model_class)):
        above = whole[field_of(name)]
        if value is not None:
            limits.append({"type": name, "value": value, "org_limit": above, "source": {"type": "workspace"}})
        elif include_inherited and above is not None:
            limits.append({"type": name, "value": above, "org_limit": above, "source": {"type": "organization"}})
    return {
        "rate_limit_id": group.entry_id(organization.id),
        "type": "workspace_rate_limit",
        "workspace_id": workspace.id,
        **_what(group, version),
        "limits": limits,
    }


def _what(group: Group, version: Version) -> Object:
    shown = {"id": group.id, "type": "model_group", "display_name": group.model_class}
    old = {"group_type": "model_group"} if version is Version.V2023_06_01 else {}
    return {"group": shown, **old, "models": list(group.models)}


def _each(rates: Rates) -> list[tuple[LimitType, int | None]]:
    known = rates._asdict()
    return [(name, known[field_of(name)]) for name in LIMIT_TYPES]


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:22]
