"""The seam to an engine: tokens in, text out. An engine knows no tenant, no price and no API event."""

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from typing import Protocol

from antiphon.turn.chat import Chat
from antiphon.turn.formats.table import GENERAL, Format
from antiphon.turn.kinds import NO_THINKING, Kinds
from antiphon.turn.pieces import Piece, Prompt, Wish


@dataclass(frozen=True, slots=True)
class EngineModel:
    """A model as its engine presents it. `window` counts tokens, prompt and reply together.

    `also` matches further names that the engine answers to, each its own model (`fail-3` for `fail-N`).
    """

    name: str
    window: int
    counts_exactly: bool
    num_slots: int
    created_at: float = 0.0
    thinking: Kinds = NO_THINKING
    """The kinds of thinking that it does as they are asked for."""
    sees: bool = False
    """Whether it takes the pictures of a chat; otherwise they are described to it in words."""
    keeps_to_grammars: bool = False
    """Whether what it writes is always what the grammar of a wish says."""
    form: Format = GENERAL
    """How the model writes calls and thinking."""
    also: re.Pattern[str] | None = None

    @property
    def thinks(self) -> bool:
        return "adaptive" in self.thinking

    def named(self, name: str) -> "EngineModel":
        return replace(self, name=name)


class Engine(Protocol):
    """`contract/test_engine.py` is this protocol's specification, and runs over every implementation."""

    async def models(self) -> tuple[EngineModel, ...]:
        """The models served, the default one first. Raises `overloaded` while the engine cannot be reached."""
        ...

    async def prepare(self, model: str, chat: Chat) -> Prompt:
        """Render and count, without computing. Raises `overloaded` while the engine cannot be reached."""
        ...

    def generate(self, model: str, prompt: Prompt, wish: Wish) -> AsyncGenerator[list[Piece], None]:
        """Yield bursts: everything that is ready at once, in one list; the last piece of the last one has `stop`.

        Nothing is asked of the engine before the first `anext`; `aclose` or cancellation drops its work at once.
        With `max_tokens` 0 the prompt is computed, nothing is written, and the cause of the stop is `length`.
        Raises ApiError: `overloaded` if the engine refused the work, `internal` if it failed in the middle.
        """
        ...

    async def aclose(self) -> None: ...


def silent(piece: Piece) -> Piece:
    """`piece` in a call that may write nothing: an engine still makes one token, which is left out."""
    return Piece("", 0, piece.progress, piece.stop and piece.stop._replace(cause="length"))


def later(piece: Piece, num_before: int) -> Piece:
    """`piece`, where so many tokens count as written before it."""
    if num_before and (piece.num_output or piece.stop):
        return piece._replace(num_output=num_before + piece.num_output)
    return piece
