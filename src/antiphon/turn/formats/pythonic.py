"""Calls as Python writes them: `f(a=1, b="x"), g()`."""

import re

from antiphon.turn.formats.arguments import Arguments
from antiphon.turn.formats.reader import Broken, Literals, Reading
from antiphon.turn.formats.scan import Scan

_NAME = re.compile(r"[\w.\-]*")
_OPEN = Literals("(")


def read_calls(scan: Scan, end: str) -> Reading[None]:
    """Calls with commas or blanks between, up to `end` if there is one. Raises Broken."""
    reader = scan.reader
    while True:
        name = scan.offered((yield from reader.read(_NAME)))
        if name is None:
            raise Broken
        yield from read_call(scan, name)
        scan.hold()
        yield from reader.blanks()
        char = yield from reader.peek()
        if char and char in ",;":
            reader.take(1)
            yield from reader.blanks()
            char = yield from reader.peek()
        if char and char == end:
            reader.take(1)
            return
        if not char.isidentifier():
            return


def read_call(scan: Scan, name: str) -> Reading[None]:
    """The rest of a call, after its name. It begins with the first keyword: without one it may be anything."""
    reader = scan.reader
    yield from reader.expect(_OPEN)
    key = yield from _read_keyword(scan)
    call = scan.begin(name)
    while key:
        yield from _read_argument(scan, call, key)
        key = yield from _read_keyword(scan)
    call.write_end()
    scan.end(is_complete=True)


def _read_keyword(scan: Scan) -> Reading[str]:
    """The next keyword and its `=`; "" if the closing parenthesis comes instead."""
    reader = scan.reader
    yield from reader.blanks()
    if (yield from reader.peek()) == ")":
        reader.take(1)
        return ""
    if (yield from reader.is_closing()):
        return ""
    if not (key := (yield from reader.read(_NAME))):
        raise Broken
    yield from reader.blanks()
    if (yield from reader.peek()) != "=":
        raise Broken(key)
    reader.take(1)
    return key


def _read_argument(scan: Scan, call: Arguments, key: str) -> Reading[None]:
    reader = scan.reader
    yield from reader.blanks()
    call.write_key(key)
    yield from call.read_value(reader, key)
    yield from reader.blanks()
    char = yield from reader.peek()
    if char == ",":
        reader.take(1)
    elif char != ")" and not (yield from reader.is_closing()):
        raise Broken
