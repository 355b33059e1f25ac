"""What passes between a turn and an engine: a prompt goes in, bursts of pieces come out."""

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

StopCause = Literal["end", "length"]
"""`end`: the model ended its turn. `length`: it used up the number of tokens that it was allowed."""


class Prompt(NamedTuple):
    """A chat as an engine will compute it.

    `payload` is the dialect's own (token ids, or messages); `num_tokens` counts all of it, prefill included, and is an
    estimate unless `is_exact`.
    """

    payload: Any
    num_tokens: int
    is_exact: bool
    is_thinking: bool = False
    """Whether it ends within thinking, so that the reply begins there."""
    tokens: Sequence[int | str] = ()
    """Its tokens in order; none where the engine does not tell them."""


class Sampling(NamedTuple):
    """How to draw tokens. Temperature 1 is the model's own distribution, 0 is greedy; None means no cut at all."""

    temperature: float = 1.0
    top_p: float | None = None
    top_k: int | None = None


class Grammar(NamedTuple):
    """`gbnf` in llama.cpp's notation; `schema` where the whole output is one JSON document, for other engines."""

    gbnf: str
    schema: dict[str, Any] | None = None


class ForcedCall(NamedTuple):
    """The tool that has to be called; None for any."""

    name: str | None


class Wish(NamedTuple):
    """What an engine is asked to make of a prompt.

    `is_awaited_whole` says that nobody looks before the end: the engine may then yield all in one burst, which is
    cheaper for it and for us.
    """

    max_tokens: int
    sampling: Sampling = Sampling()
    is_awaited_whole: bool = False
    opening: str = ""
    """What the reply has to begin with. It is appended to the prompt, and no part of the engine's output."""
    is_opening_counted: bool = False
    """Whether the opening's tokens count as written, and as some of `max_tokens`; an engine that does not know how many
    they are lets them be."""
    grammar: Grammar | None = None
    """What the output has to be. An engine that cannot enforce it does its best."""
    forced: ForcedCall | None = None
    """The same for an engine that knows calls, but no grammars."""
    salt: str = ""
    """Calls of different salts share nothing in the engine's caches."""
    session: str = ""
    """The conversation that it belongs to, if the client has named one: its next call should find it where it was."""
    keep: Literal["", "5m", "1h"] = ""
    """How long its prompt was asked to be kept."""
    is_one_of_many: bool = False
    """Whether others with prompts that begin alike are likely to follow, as in a batch."""
    num_waiting: int = 0
    """How many others, who begin alike, wait until its prompt is computed: an engine that can only share it between two
    replies should do so before this one."""


class Progress(NamedTuple):
    """How far the prompt is computed, in tokens; `num_cached` of them were there already."""

    num_done: int
    num_total: int
    num_cached: int

    @property
    def is_done(self) -> bool:
        return self.num_done >= self.num_total


class Stop(NamedTuple):
    """The end of an engine's output. Counts are the engine's own; None where it does not tell."""

    cause: StopCause
    num_input: int | None = None
    num_cached: int | None = None


class Piece(NamedTuple):
    """A bit of an engine's output. `num_output` counts the tokens made so far, this piece included; it never shrinks.

    `text` holds whole characters only: a dialect keeps back bytes that do not yet make one.
    """

    text: str = ""
    num_output: int = 0
    progress: Progress | None = None
    stop: Stop | None = None
