"""Which model a name means."""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from antiphon.core.errors import ApiError, Kind, overloaded
from antiphon.engines.pool import Pool
from antiphon.engines.protocol import Engine, EngineModel

log = logging.getLogger("antiphon.engines")

MAX_OUTPUT = 128_000
"""The largest `max_tokens` that is taken, unless the window is larger. A reply that fills the window stops there."""

_CLOUD_NAME = re.compile(
    r"(?:arn:[^/]*/)?(?:[a-z-]+\.)?(?:anthropic\.)?(claude-[^@]*)(?:@.*)?"
    r"|arn:[^/]*:bedrock:[^/]*/.*"
)
"""Bedrock's `us.anthropic.claude-…`, Vertex's `claude-…@date`, and ARNs, which may name nothing."""


@dataclass(frozen=True, slots=True)
class Model:
    """A model that can be called: what its engine says of it, and the engine and the queue behind it."""

    spec: EngineModel
    engine: Engine
    pool: Pool
    label: str
    """The name in metrics: one for all the names that a pattern matches."""

    @property
    def id(self) -> str:
        return self.spec.name

    @property
    def max_output(self) -> int:
        return max(self.spec.window, MAX_OUTPUT)


class Catalog:
    """The models of this server, the default one first. Names are looked up, then aliases, then `claude-*`."""

    def __init__(self, aliases: Mapping[str, str]) -> None:
        self.models: tuple[Model, ...] = ()
        self._aliases = dict(aliases)
        self._by_name: dict[str, Model] = {}

    def load(self, models: Sequence[Model]) -> None:
        self.models = tuple(models)
        self._by_name = {model.id: model for model in models}
        for alias, name in self._aliases.items():
            if not self._find(name):
                log.warning("the alias %r means %r, and there is no such model", alias, name)

    def resolve(self, name: str) -> Model:
        """Raises 404 `model: NAME`, and `overloaded` while there are no models yet."""
        if not self.models:
            raise overloaded()
        if found := self._find(name) or self._find(self._aliases.get(name, "")):
            return found
        if cloud := _CLOUD_NAME.fullmatch(name):
            return self._find(self._aliases.get(cloud[1] or "", "")) or self.models[0]
        raise ApiError(Kind.NOT_FOUND, f"model: {name}")

    def _find(self, name: str) -> Model | None:
        if model := self._by_name.get(name):
            return model
        for model in self.models:
            if model.spec.also and model.spec.also.fullmatch(name):
                return Model(model.spec.named(name), model.engine, model.pool, model.label)
        return None
