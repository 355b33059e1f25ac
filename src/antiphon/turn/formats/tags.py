"""What may open a call, thinking or noise in a model's text: one row each."""

# ruff: noqa: RUF001 - the wide bars are DeepSeek's own

from collections.abc import Callable
from functools import partial
from typing import Literal, NamedTuple

from antiphon.turn.formats import envelope, harmony, pythonic, tagged
from antiphon.turn.formats.reader import Literals, Reading
from antiphon.turn.formats.scan import Scan
from antiphon.turn.formats.thinking import read_thinking

Where = Literal["anywhere", "line", "start"]
"""`line`: only blanks stand before it on its line. `start`: nothing was said before, or since thinking or a call."""


class Tag(NamedTuple):
    """`read` is called behind the opener, or before it if it is a bracket of JSON. The closer need not come.

    `is_bare` says that an opener tells little: whether it is a call depends on the shape of what follows.
    """

    opener: str
    closer: str = ""
    read: Callable[[Scan], Reading[object]] = tagged.read_body
    where: Where = "anywhere"
    is_bare: bool = False
    is_pythonic: bool = False


def thinking(opener: str, closer: str) -> Tag:
    return Tag(opener, closer, partial(read_thinking, end=Literals((closer,))), "start")


def noise(word: str) -> Tag:
    """Something that says nothing."""
    return Tag(word, read=_read_nothing)


def stray(closer: str) -> Tag:
    """The end of thinking that is over already: a model that was made to end it may write it once more."""
    return Tag(closer, read=_read_end, where="start")


def fence(language: str) -> Tag:
    return Tag(f"```{language}\n", "```", where="line", is_bare=True)


def function(opener: str, style: tagged.Style) -> Tag:
    return Tag(opener, style.end, partial(tagged.read_function, style=style))


def _read_nothing(scan: Scan) -> Reading[None]:
    yield from ()


def _read_end(scan: Scan) -> Reading[None]:
    scan.turn_over()
    yield from ()


def _read_code(scan: Scan) -> Reading[None]:
    yield from scan.reader.blanks()
    yield from pythonic.read_calls(scan, "")


CALLS = (
    Tag("{", read=envelope.read_calls, where="line", is_bare=True),
    Tag("[", read=envelope.read_calls, where="line", is_bare=True),
    *(fence(language) for language in ("", "json", "xml", "tool_call", "tool_calls", "tool")),
    Tag("<tools>", "</tools>", is_bare=True),
    Tag("<tool_response>", "</tool_response>", is_bare=True),
    Tag("<tool_call>", "</tool_call>"),
    Tag("<tool_calls>", "</tool_calls>"),
    Tag("<function_call>", "</function_call>"),
    Tag("<function_calls>", "</function_calls>"),
    Tag("<|tool_call|>", "<|/tool_call|>"),
    Tag("<|tool_call>", "<tool_call|>"),
    Tag("<|tool_call>call:"),
    Tag("<|tool_call_start|>", "<|tool_call_end|>"),
    Tag("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
    Tag("<|tool_call_begin|>", "<|tool_call_end|>"),
    Tag("<minimax:tool_call>", "</minimax:tool_call>"),
    Tag("<seed:tool_call>", "</seed:tool_call>"),
    Tag("<TOOLCALL>", "</TOOLCALL>"),
    Tag("[TOOL_CALLS]"),
    Tag("<|START_ACTION|>", "<|END_ACTION|>"),
    Tag("<|python_tag|>", "<|eom_id|>"),
    Tag("<|python_start|>", "<|python_end|>"),
    Tag("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
    Tag("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"),
    Tag("<｜tool▁call▁begin｜>function<｜tool▁sep｜>"),
    Tag("<｜DSML｜function_calls>", "</｜DSML｜function_calls>"),
    Tag("functools", where="line"),
    function("<function=", tagged.FUNCTION),
    function('<invoke name="', tagged.INVOKE),
    function('<｜DSML｜invoke name="', tagged.DSML),
    function('<|open|>call tool="', tagged.XTML),
)
"""Looked for in the text of every model, when tools are offered."""

PYTHON_LIST = Tag("[", read=envelope.read_calls, where="line", is_bare=True, is_pythonic=True)
PYTHON_FENCES = tuple(Tag(f"```{language}\n", "```", _read_code, "line") for language in ("tool_code", "python"))
ACTION = Tag("Action:", where="line")

THINK = (thinking("<think>", "</think>"), thinking("<thinking>", "</thinking>"))
CHANNELS = (
    *(Tag(opener, read=harmony.read_part) for opener in ("<|start|>", "<|channel|>")),
    *(noise(word) for word in ("<|end|>", "<|return|>", "<|call|>", "<|message|>")),
)
