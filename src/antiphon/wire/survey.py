"""One walk over all blocks: what each may say where it stands, and what later rules have to know of them.

The walk is on the path of every request, so it compares `type`s: `isinstance` costs ten times as much with pydantic.
"""

from collections.abc import Sequence
from typing import Literal, NamedTuple

from antiphon.core.errors import ApiError, invalid
from antiphon.wire.blocks import Block
from antiphon.wire.content import Ephemeral, SearchResultBlock, TextBlock, ToolResultBlock, ToolResultPart
from antiphon.wire.conversation import Turn
from antiphon.wire.message import Role
from antiphon.wire.versions import Version

_EMPTY = "text content blocks must be non-empty"
_BLANK = "text content blocks must contain non-whitespace text"
_EXTRA = "Extra inputs are not permitted"

_ASSISTANT = frozenset[Role](("assistant",))
_USER = frozenset[Role](("user",))
_SYSTEM = frozenset[Role](("system",))
_BOTH = frozenset[Role](("assistant", "user"))
_ROLES: dict[str, frozenset[Role]] = {
    "text": frozenset(("assistant", "system", "user")),
    "image": _USER,
    "search_result": _USER,
    "tool_result": _USER,
    "document": _BOTH,
    "container_upload": _BOTH,
    "tool_addition": _SYSTEM,
    "tool_removal": _SYSTEM,
}
"""Who may say what; every block that is not named belongs to the assistant alone."""
_OTHERS = frozenset(("document", "search_result", "container_upload", "tool_search_tool_result"))
_NEWER_ROLES = {**_ROLES, "document": _USER}


class Breakpoint(NamedTuple):
    """A cache breakpoint in a message. Its path is made on demand: that costs time in a long run of items."""

    control: Ephemeral
    turn: Turn
    block: int
    below: str = ""

    @property
    def path(self) -> str:
        return self.turn.path(self.block) + self.below


class Survey:
    """What the blocks of a conversation hold. Paths are in the API's notation."""

    def __init__(self, version: Version) -> None:
        self.breakpoints: list[Breakpoint] = []
        self.citing: dict[str, set[bool]] = {"document": set(), "search_result": set()}
        """Whether citations are on, over all blocks of the type."""
        self.references: list[str] = []
        """Names of tools that results refer to."""
        self.upload: str = ""
        """Path of the user's first container upload."""
        self.is_plain = True
        """Whether there is nothing but text."""
        self._is_newer = version is Version.V2026_10_21
        self._roles = _NEWER_ROLES if self._is_newer else _ROLES

    def read(self, turn: Turn) -> None:
        role = turn.role
        for index, block in enumerate(turn.blocks):
            if role not in self._roles.get(block.type, _ASSISTANT):
                raise self._misplaced(turn, index, block.type)
            if block.type == "text":
                self._text(turn, index, block)
            else:
                self.is_plain = False
                self._special(turn, index, block)
            if block.cache_control is not None:
                self.breakpoints.append(Breakpoint(block.cache_control, turn, index))

    def _special(self, turn: Turn, index: int, block: Block) -> None:
        if block.type == "tool_result":
            self._result(turn, index, block)
        elif block.type in _OTHERS:
            self._other(turn, index, block)

    def _misplaced(self, turn: Turn, index: int, kind: str) -> ApiError:
        names = " or ".join(f"`{role}`" for role in sorted(self._roles.get(kind, _ASSISTANT)))
        return invalid(f"{turn.path(index)}: `{kind}` blocks can only be in {names} messages")

    def _text(self, turn: Turn, index: int, block: TextBlock) -> None:
        if not block.text or block.text.isspace():
            raise _blank(block, f"{turn.path(index)}.text")
        if block.citations and self._is_newer and turn.role == "user":
            raise invalid(f"{turn.path(index)}.text.citations: {_EXTRA}")
        if block.cache_control is not None and turn.role == "system":
            raise invalid(f"{turn.path(index)}.text.cache_control: {_EXTRA}")

    def _result(self, turn: Turn, index: int, block: ToolResultBlock) -> None:
        if isinstance(block.content, str):
            return
        for number, part in enumerate(block.content):
            self._part(turn, index, number, part)
            if part.cache_control is not None:
                self.breakpoints.append(Breakpoint(part.cache_control, turn, index, f".tool_result.content.{number}"))

    def _part(self, turn: Turn, index: int, number: int, part: ToolResultPart) -> None:
        # A tool may print nothing but a newline, so only the empty text is refused here.
        if part.type == "text":
            if not part.text:
                raise _blank(part, f"{turn.path(index)}.tool_result.content.{number}.text")
        elif part.type == "tool_reference":
            self.references.append(part.tool_name)
        elif part.type == "document":
            self.citing[part.type].add(bool(part.citations and part.citations.enabled))
        elif part.type == "search_result":
            self._search_result(part, f"{turn.path(index)}.tool_result.content.{number}")

    def _search_result(self, block: SearchResultBlock, path: str) -> None:
        self.citing[block.type].add(bool(block.citations and block.citations.enabled))
        if self._is_newer:
            for number, part in enumerate(block.content):
                if part.citations:
                    raise invalid(f"{path}.search_result.content.{number}.citations: {_EXTRA}")

    def _other(self, turn: Turn, index: int, block: Block) -> None:
        if block.type == "document":
            self.citing[block.type].add(bool(block.citations and block.citations.enabled))
        elif block.type == "search_result":
            self._search_result(block, turn.path(index))
        elif block.type == "container_upload" and turn.role == "user":
            self.upload = self.upload or turn.path(index)
        elif block.type == "tool_search_tool_result" and block.content.type == "tool_search_tool_search_result":
            self.references.extend(reference.tool_name for reference in block.content.tool_references)


def survey(turns: Sequence[Turn], version: Version) -> Survey:
    """Reads all turns; ApiError 400 for the first block that may not stand where it stands."""
    found = Survey(version)
    for turn in turns:
        found.read(turn)
    return found


def check_system(system: str | list[TextBlock] | None) -> None:
    """The system prompt's text is not blank; the empty string is no prompt."""
    if isinstance(system, str) and system.isspace():
        raise invalid(f"system: {_BLANK}")
    if isinstance(system, list):
        for index, block in enumerate(system):
            if not block.text or block.text.isspace():
                raise _blank(block, f"system.{index}", "system")


def _blank(block: TextBlock, path: str, where: Literal["messages", "system"] = "messages") -> ApiError:
    if not block.text and block.cache_control is not None:
        return invalid(f"{path}: cache_control cannot be set for empty text blocks")
    return invalid(f"{where}: {_BLANK if block.text else _EMPTY}")
