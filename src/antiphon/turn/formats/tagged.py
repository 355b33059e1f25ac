"""What stands between tags: JSON, a name with arguments behind it, or arguments between tags of their own."""

# ruff: noqa: RUF001 - the wide bars are DeepSeek's own

import re
from typing import NamedTuple

from antiphon.turn.formats import envelope, pythonic
from antiphon.turn.formats.arguments import Arguments
from antiphon.turn.formats.reader import Broken, Literals, Reading
from antiphon.turn.formats.scan import Scan
from antiphon.turn.formats.values import OPENERS

_NAME = re.compile(r"[\w.:\-]*")
_NUMBERED = re.compile(r":\d+$")
_KEY = re.compile(r'[^"<>\n]*')
_ATTRIBUTES = re.compile(r"[^<>\n]*")
_ID = re.compile(r"\w*")
_SEPARATORS = Literals(
    ("[CALL_ID]", "[ARGS]", "<|tool_call_argument_begin|>", "<｜tool▁sep｜>", "```json\n", "```\n"),
)


class Style(NamedTuple):
    """A call whose arguments stand between tags, one by one: what comes after its name, around each part, and last."""

    after_name: str
    key: str
    after_key: str
    value: str
    after_value: str
    end: str


FUNCTION = Style(">", "<parameter=", ">", "", "</parameter>", "</function>")
INVOKE = Style(">", '<parameter name="', ">", "", "</parameter>", "</invoke>")
DSML = Style(">", '<｜DSML｜parameter name="', ">", "", "</｜DSML｜parameter>", "</｜DSML｜invoke>")
XTML = Style("<|sep|>", '<|open|>argument key="', "<|sep|>", "", "<|close|>argument<|sep|>", "<|close|>call<|sep|>")
PAIRS = Style("", "<arg_key>", "</arg_key>", "<arg_value>", "</arg_value>", "</tool_call>")

_PAIRS_KEY = Literals((PAIRS.key,))


def read_body(scan: Scan) -> Reading[None]:
    """What stands between two tags. Raises Broken."""
    yield from scan.reader.blanks()
    if (yield from scan.reader.peek()) in OPENERS:
        yield from envelope.read_calls(scan)
    elif scan.is_bare:
        raise Broken
    else:
        yield from _read_named(scan)


def _read_named(scan: Scan) -> Reading[None]:
    reader = scan.reader
    name = scan.offered(_NUMBERED.sub("", (yield from reader.read(_NAME))))
    if name is None:
        raise Broken
    if (yield from reader.peek()) == "(":
        yield from pythonic.read_call(scan, name)
        return
    yield from _skip_separators(scan)
    if (yield from reader.peek()) == "{":
        yield from envelope.read_arguments(scan, name)
    elif (yield from reader.stands(_PAIRS_KEY)) or (yield from reader.is_closing()):
        yield from _read_arguments(scan, name, PAIRS)
    else:
        raise Broken


def _skip_separators(scan: Scan) -> Reading[None]:
    reader = scan.reader
    yield from reader.blanks()
    while word := (yield from reader.stands(_SEPARATORS)):
        reader.take(len(word))
        scan.is_fenced = scan.is_fenced or word.startswith("```")
        if word == "[CALL_ID]":
            yield from reader.read(_ID)
        yield from reader.blanks()


def read_function(scan: Scan, style: Style) -> Reading[None]:
    """A call from its name on. Its arguments may also come as one JSON object. Raises Broken."""
    reader = scan.reader
    name = scan.offered((yield from reader.read(_NAME)))
    if name is None:
        raise Broken
    yield from reader.read(_ATTRIBUTES)
    yield from reader.expect(Literals((style.after_name,)))
    yield from reader.blanks()
    if (yield from reader.peek()) == "{":
        yield from envelope.read_arguments(scan, name)
    else:
        yield from _read_arguments(scan, name, style)


def _read_arguments(scan: Scan, name: str, style: Style) -> Reading[None]:
    has_more = yield from _has_more(scan, style)
    call = scan.begin(name)
    while has_more:
        yield from _read_argument(scan, call, style)
        has_more = yield from _has_more(scan, style)
    call.write_end()
    scan.end(is_complete=True)


def _has_more(scan: Scan, style: Style) -> Reading[bool]:
    """Whether another argument comes, its opening tag being read; if not, the call is closed."""
    yield from scan.reader.blanks()
    tag = yield from scan.reader.stands(Literals((style.key, style.end)))
    if not tag and not (yield from scan.reader.is_closing()):
        raise Broken
    scan.reader.take(len(tag))
    return tag == style.key


def _read_argument(scan: Scan, call: Arguments, style: Style) -> Reading[None]:
    reader = scan.reader
    key = yield from reader.read(_KEY)
    yield from reader.read(_ATTRIBUTES)
    yield from reader.expect(Literals((style.after_key,)))
    if style.value:
        yield from reader.blanks()
        yield from reader.expect(Literals((style.value,)))
    pieces: list[str] = []
    end = yield from reader.until(Literals((style.after_value,)), pieces.append)
    value = _without_frame("".join(pieces))
    if not end:
        call.write_beginning(key.strip(), value)
        raise Broken
    call.write_text(key.strip(), value)


def _without_frame(text: str) -> str:
    """A value that begins on a line of its own ends before the line of its closing tag."""
    return text[1:].removesuffix("\n") if text.startswith("\n") else text
