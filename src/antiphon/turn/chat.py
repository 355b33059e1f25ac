"""A request as a model's template takes it: turns of text, calls and results, and the text the reply is to continue."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from antiphon.turn.attachments import NO_ATTACHMENTS, Attachments, Picture
from antiphon.turn.citations import NO_SOURCES, Sources
from antiphon.turn.documents import HOW_TO_CITE, Shelf
from antiphon.turn.jsontext import json_text
from antiphon.turn.marks import label
from antiphon.turn.signature import Signer
from antiphon.turn.tools.offer import OfferedTool, offer_of
from antiphon.wire.blocks import Block, ToolAdditionBlock, ToolDefinition, ToolReference, ToolRemovalBlock
from antiphon.wire.content import (
    DocumentBlock,
    ImageBlock,
    SearchResultBlock,
    TextBlock,
    ThinkingBlock,
    ToolReferenceBlock,
    ToolResultBlock,
    ToolUseBlock,
)
from antiphon.wire.conversation import Turn
from antiphon.wire.options import Effort
from antiphon.wire.prompt import turns_of
from antiphon.wire.request import CountRequest, MessageRequest
from antiphon.wire.results import ServerToolUseBlock
from antiphon.wire.tools import name_of

ChatRole = Literal["system", "user", "assistant", "tool"]


class ChatCall(NamedTuple):
    """A call that the model has made. `arguments` is a JSON object's text, always the same bytes for the same input."""

    id: str
    name: str
    arguments: str


class ChatTurn(NamedTuple):
    """An assistant turn may hold calls; a tool turn is the result of the call it `answers`.

    `thinking` is given for every turn that has any: each model's own template knows how long it is to be remembered.
    """

    role: ChatRole
    text: str
    calls: tuple[ChatCall, ...] = ()
    answers: ChatCall | None = None
    thinking: str = ""
    pictures: tuple[Picture, ...] = ()
    """In the order of their marks in `text` (`turn/attachments.py`)."""


class Chat(NamedTuple):
    """Turns in order (a system turn may stand anywhere), the text that the reply is to continue, the tools shown."""

    turns: tuple[ChatTurn, ...]
    prefill: str = ""
    tools: tuple[OfferedTool, ...] = ()
    callable: tuple[OfferedTool, ...] = ()
    """Those that may be called now: some of `tools`, and others that the conversation has found."""
    thinks: bool | None = None
    """Whether the model should think, where its template leaves the choice; None to let the template decide."""
    effort: Effort | None = None
    """How hard, if the client has said."""
    sources: Sources = NO_SOURCES
    """What the reply may cite."""
    mark: str = ""
    """What stands in the turns' texts for each of their pictures."""


def chat_of(request: MessageRequest | CountRequest, signer: Signer, attachments: Attachments = NO_ATTACHMENTS) -> Chat:
    """The chat of a request that `unserved.check` has let through. `signer` knows the thinking that comes back.

    `attachments` holds what each of the request's sources turned out to be.
    """
    turns = [ChatTurn("system", text)] if (text := _system_text(request.system)) else []
    offer = offer_of(request)
    reader = _Reader(offer.known, signer, attachments)
    for turn in request.turns:
        turns += reader.read(turn)
    turns = [turn for turn in turns if turn.text or turn.calls or turn.role not in ("system", "assistant")]
    said, prefill = _split_prefill(turns)
    may_call = tuple(offer.callable.values())
    thinks, effort = _thinks(request, said), effort_of(request)
    return Chat(said, prefill, offer.shown, may_call, thinks, effort, reader.sources, attachments.mark)


def chat_of_completion(prompt: str) -> Chat:
    """The chat of a Text Completions prompt."""
    return Chat(*_split_prefill([ChatTurn(role, text) for role, text in turns_of(prompt)]))


def effort_of(request: MessageRequest | CountRequest) -> Effort | None:
    """The last word on it: a system message within the conversation may change what the request began with."""
    for message in reversed(request.messages):
        if message.output_config and message.output_config.effort:
            return message.output_config.effort
    return request.output_config.effort if request.output_config else None


def _thinks(request: MessageRequest | CountRequest, turns: Sequence[ChatTurn]) -> bool:
    wanted = request.thinking
    if wanted is None or wanted.type == "disabled":
        return False
    return wanted.type != "between_tools" or (bool(turns) and turns[-1].role == "tool")


def result_text(content: Any, known: Mapping[str, OfferedTool]) -> str:
    """What a model reads of the `content` of a server tool's result: the same while it is made, and ever after."""
    match content:
        case {"tool_references": references}:
            return "\n".join(_definition(found["tool_name"], known) for found in references) or "Nothing found."
        case {"error_code": str(code), "error_message": str(message)}:
            return f"Error: {code}: {message}"
        case {"error_code": str(code)}:
            return f"Error: {code}"
        case _:
            return json_text(content, sorts_keys=True)


def _definition(name: str, known: Mapping[str, OfferedTool]) -> str:
    tool = known.get(name)
    return json_text(tool.definition) if tool else name


def _split_prefill(turns: Sequence[ChatTurn]) -> tuple[tuple[ChatTurn, ...], str]:
    if turns and turns[-1].role == "assistant" and not turns[-1].calls:
        return tuple(turns[:-1]), turns[-1].text
    return tuple(turns), ""


def _system_text(system: str | Sequence[TextBlock] | None) -> str:
    if system is None or isinstance(system, str):
        return system or ""
    return "\n\n".join(block.text for block in system)


class _Reader:
    """Turns of the wire become turns of a chat. It remembers the calls, for results name only their ids."""

    def __init__(self, known: Mapping[str, OfferedTool], signer: Signer, attachments: Attachments) -> None:
        self._signer = signer
        self._shelf = Shelf(attachments)
        self._calls: dict[str, ChatCall] = {}
        self._known = known

    @property
    def sources(self) -> Sources:
        """What may be cited of all that was read."""
        return self._shelf.sources

    def read(self, turn: Turn) -> list[ChatTurn]:
        if turn.role == "assistant":
            return self._assistant(turn.blocks)
        results: list[ChatTurn] = []
        texts: list[str] = []
        pictures: list[Picture] = []
        for block in turn.blocks:
            if block.type == "tool_result":
                results.append(self._result(block))
            else:
                texts += self._text(block, pictures)
        said = [ChatTurn(turn.role, "\n\n".join(texts), pictures=tuple(pictures))] if texts or not results else []
        return self._reminded([*results, *said])

    def _reminded(self, turns: list[ChatTurn]) -> list[ChatTurn]:
        """What comes before the reply ends with how to cite, if there is something to cite by then."""
        last = turns[-1]
        if last.role == "system" or not self.sources.sources:
            return turns
        return [*turns[:-1], last._replace(text=f"{last.text}\n\n{HOW_TO_CITE}")]

    def _assistant(self, blocks: Iterable[Block]) -> list[ChatTurn]:
        """One turn, and one more after each result of a tool that the server has run."""
        turns: list[ChatTurn] = []
        texts: list[str] = []
        calls: list[ChatCall] = []
        thoughts: list[str] = []

        def close() -> None:
            if texts or calls:
                turns.append(ChatTurn("assistant", "\n\n".join(texts), tuple(calls), thinking="\n\n".join(thoughts)))
            for collected in (texts, calls, thoughts):
                collected.clear()

        before: Block | None = None
        for block in blocks:
            if isinstance(block, TextBlock):
                is_next = isinstance(before, TextBlock) and bool(before.citations or block.citations)
                text = self._cited(block)
                texts[-1:] = [texts[-1] + text] if is_next else [*texts[-1:], text]
            elif isinstance(block, DocumentBlock):
                texts.append(self._shelf.document(block, []))
            elif isinstance(block, ThinkingBlock):
                thoughts += filter(None, [self._signer.open(block.thinking, block.signature).thinking])
            elif isinstance(block, ToolUseBlock | ServerToolUseBlock):
                calls.append(self._call(block))
            elif (answered := self._calls.get(getattr(block, "tool_use_id", ""))) is not None:
                close()
                turns.append(ChatTurn("tool", self._server_result(block), answers=answered))
            before = block
        close()
        return turns

    def _cited(self, block: TextBlock) -> str:
        """The text with its citations, as the model has written them."""
        if not block.citations:
            return block.text
        marks = [label(first, last) for first, last in self.sources.labels(block.citations)]
        return f"{block.text} {''.join(marks)}" if marks else block.text

    def _call(self, block: ToolUseBlock | ServerToolUseBlock) -> ChatCall:
        call = ChatCall(block.id, block.name, json_text(block.input))
        self._calls[block.id] = call
        return call

    def _result(self, block: ToolResultBlock) -> ChatTurn:
        pictures: list[Picture] = []
        text = block.content if isinstance(block.content, str) else "\n\n".join(self._parts(block, pictures))
        call = self._calls.get(block.tool_use_id) or ChatCall(block.tool_use_id, "", "{}")
        text = f"Error: {text}" if block.is_error else text
        return ChatTurn("tool", text, answers=call, pictures=tuple(pictures))

    def _parts(self, block: ToolResultBlock, pictures: list[Picture]) -> Iterable[str]:
        assert not isinstance(block.content, str)
        for part in block.content:
            if isinstance(part, TextBlock):
                yield part.text
            elif isinstance(part, ImageBlock | DocumentBlock | SearchResultBlock):
                yield from self._text(part, pictures)
            elif isinstance(part, ToolReferenceBlock):
                yield _definition(part.tool_name, self._known)

    def _server_result(self, block: Block) -> str:
        return result_text(block.model_dump(mode="json", exclude_none=True)["content"], self._known)

    def _text(self, block: Block, pictures: list[Picture]) -> Iterable[str]:
        """What a block of a user's or a system's turn says; its pictures are added to `pictures`."""
        match block:
            case TextBlock():
                yield block.text
            case ImageBlock():
                yield self._shelf.image(block, pictures)
            case DocumentBlock():
                yield self._shelf.document(block, pictures)
            case SearchResultBlock():
                yield self._shelf.search_result(block)
            case ToolAdditionBlock() if name := _name_in(block.tool):
                yield f"From now on this tool can be called: {_definition(name, self._known)}"
            case ToolRemovalBlock() if name := _name_in(block.tool):
                yield f"From now on the tool {name} can no longer be called."
            case _:
                pass


def _name_in(change: object) -> str:
    """The tool that an addition or a removal is about; "" for those of servers that are not served."""
    if isinstance(change, ToolDefinition):
        return name_of(change.definition) or ""
    return change.name if isinstance(change, ToolReference) else ""
