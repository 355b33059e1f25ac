"""What is looked for in a model's text, and what it is made to write."""

from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

from antiphon.turn.chat import effort_of
from antiphon.turn.citations import NO_SOURCES, Sources
from antiphon.turn.formats.table import GENERAL, Format
from antiphon.turn.pieces import Grammar
from antiphon.turn.schema.gbnf import Json, Node, Repeat, Text, alt, seq
from antiphon.turn.schema.grammar import Grammar as Compiled
from antiphon.turn.schema.grammar import grammar_of
from antiphon.turn.signature import Signer
from antiphon.turn.tools.offer import NOTHING, Offer, OfferedTool, offer_of
from antiphon.wire.fields import JsonObject
from antiphon.wire.options import Effort
from antiphon.wire.request import CountRequest, MessageRequest

Display = Literal["shown", "omitted", "dropped"]
MAX_CALLS = 8
"""Calls that one reply can be made of where they are demanded."""


class Thinking(NamedTuple):
    """How a model that thinks is to think. `budget` is in tokens; `sign` makes a block's signature.

    `dropped` thinking leaves no block: nobody has asked for it. Where it `is_demanded`, every reply begins with a block
    of it, an empty one if need be: a client has to send it back before the calls that came after it.
    """

    display: Display = "dropped"
    budget: int | None = None
    is_demanded: bool = False
    sign: Callable[[str], str] = str


class Script(NamedTuple):
    """`opening` is what the reply has been made to begin with, and `is_thinking` says that it begins within thinking.

    `document` is the schema that the whole text has to have, and `sources` what the text may cite.
    """

    offer: Offer = NOTHING
    form: Format = GENERAL
    thinking: Thinking = Thinking()
    opening: str = ""
    is_thinking: bool = False
    document: JsonObject | None = None
    sources: Sources = NO_SOURCES

    @property
    def is_document(self) -> bool:
        """Whether the reply is the document from its first word on: no thinking and no call can come before it."""
        return self.document is not None and not self.is_thinking and not self.offer.callable

    @property
    def schemas(self) -> Mapping[str, JsonObject]:
        return {name: tool.schema for name, tool in self.offer.callable.items()}


def script_of(
    request: MessageRequest, form: Format, signer: Signer, *, thinks: bool, sources: Sources = NO_SOURCES
) -> Script | None:
    """None for a reply that is text and nothing else."""
    offer = offer_of(request)
    schema = document_of(request)
    thinking = _thinking(request, signer)
    is_read = offer.callable or form.always or thinks or thinking.is_demanded
    if not is_read and schema is None and not sources.sources:
        return None
    return Script(offer, form, thinking, opening_of(offer, form), document=schema, sources=sources)


def document_of(request: MessageRequest | CountRequest) -> JsonObject | None:
    """The schema that the whole text has to have."""
    form = request.output_format or (request.output_config and request.output_config.format)
    return form.schema_ if form else None


def _thinking(request: MessageRequest, signer: Signer) -> Thinking:
    wanted = request.thinking
    if wanted is None or wanted.type == "disabled":
        return Thinking()
    is_demanded = wanted.type == "enabled"
    budget = wanted.budget_tokens if wanted.type == "enabled" else _BUDGETS[effort_of(request) or "high"]
    if getattr(wanted, "display", None) == "omitted":
        return Thinking("omitted", budget, is_demanded, signer.seal)
    return Thinking("shown", budget, is_demanded, signer.sign)


_BUDGETS: Mapping[Effort, int | None] = {"low": 1024, "medium": 4096, "high": 16384, "xhigh": None, "max": None}
"""How many tokens a model may think that is left to judge for itself."""


def opening_of(offer: Offer, form: Format) -> str:
    """The text that leaves a model nothing to do but to call; "" where it may choose."""
    if not offer.forced:
        return ""
    return form.shape.prefix(next(iter(offer.callable)) if len(offer.callable) == 1 else None)


def forced_grammar(offer: Offer, form: Format) -> Grammar | None:
    """What may follow `opening_of`: a call of any tool that may be called, and others behind it if they may come."""
    return Grammar(demanded(offer, form).text) if offer.forced else None


def demanded(offer: Offer, form: Format) -> Compiled:
    """`forced_grammar`, as it was compiled."""
    return call_grammar(list(offer.callable.values()), form, MAX_CALLS if offer.is_parallel else 1)


def document_grammar(schema: JsonObject) -> Grammar:
    """One JSON document."""
    return Grammar(grammar_of(Json(schema)).text, schema)


def call_grammar(tools: list[OfferedTool], form: Format, max_calls: int = 1) -> Compiled:
    """What may follow the beginning of a call to one of `tools`: with a single one, that is its arguments.

    Up to `max_calls` of them are let through.
    """
    values = [Json(tool.schema) for tool in tools]
    ways: list[Node] = [
        seq(Text(tool.name + form.shape.between), value) for tool, value in zip(tools, values, strict=True)
    ]
    parts: list[Node] = [values[0] if len(tools) == 1 else alt(*ways)]
    if max_calls > 1:
        parts.append(Repeat(seq(Text(form.shape.then), alt(*ways)), 0, max_calls - 1))
    return grammar_of(seq(*parts, Text(form.shape.after)))
