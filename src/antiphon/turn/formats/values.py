"""JSON as models write it, read piece by piece: valid JSON passes as it is, small slips are mended.

Mended are single quotes, Python's constants, raw line breaks and wrong escapes in strings, bare keys, a comma before a
closing bracket, and closing brackets that are missing where the text ends.
"""

import json
import re
from collections.abc import Callable

from antiphon.turn.formats.reader import Broken, Literals, Reader, Reading, Sink, run_whole

MAX_DEPTH = 100
OPENERS = {"{": "}", "[": "]"}
QUOTES = ('"', "'", "<")
CONSTANTS = {"true": "true", "false": "false", "null": "null", "True": "true", "False": "false", "None": "null"}

_SPECIAL_QUOTE = Literals(('<|"|>',))
_PLAIN = {'"': re.compile(r'[^"\\\x00-\x1f]*'), "'": re.compile(r"[^\"'\\\x00-\x1f]*")}
_BARE_KEY = re.compile(r"[\w$-]*")
_WORD = re.compile(r"[\w+\-.]*")
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_CODE = re.compile(r"\\u[0-9a-fA-F]{4}")
_LONE = re.compile(r"\\u[dD][89a-fA-F]..")
_PAIR = re.compile(r"\\u[dD][89abAB]..\\u[dD][c-fC-F]..")


def read_value(reader: Reader, out: Sink) -> Reading[None]:
    """One value of any depth, passed on as valid JSON."""
    brackets: list[str] = []
    while True:
        char = yield from reader.peek()
        key: str | None = None
        if char in OPENERS:
            if len(brackets) == MAX_DEPTH:
                raise Broken
            key = yield from enter(reader, out, brackets)
        else:
            yield from _read_scalar(reader, out, char)
        while brackets and key is None:
            key = yield from go_on(reader, out, brackets)
        if not brackets:
            return


def enter(reader: Reader, out: Sink, brackets: list[str]) -> Reading[str | None]:
    """Open the bracket that comes next, up to its first value. Returns as `go_on` does."""
    bracket = reader.take(1)
    out(bracket)
    brackets.append(OPENERS[bracket])
    return (yield from _find_value(reader, out, brackets, ""))


def _find_value(reader: Reader, out: Sink, brackets: list[str], comma: str) -> Reading[str | None]:
    blanks = yield from reader.blanks()
    char = yield from reader.peek()
    if char == brackets[-1] and not (comma and reader.is_strict):
        out(blanks + reader.take(1))
        brackets.pop()
        return None
    if not comma and (yield from reader.is_closing()):
        out(brackets.pop())
        return None
    if not char:
        raise Broken
    out(comma + blanks)
    return (yield from read_key(reader, out)) if brackets[-1] == "}" else ""


def go_on(reader: Reader, out: Sink, brackets: list[str]) -> Reading[str | None]:
    """After a value, up to the next one. Returns its key ("" in a list), or None if the last bracket closed instead."""
    blanks = yield from reader.blanks()
    char = yield from reader.peek()
    if char == ",":
        reader.take(1)
        return (yield from _find_value(reader, out, brackets, blanks + ","))
    if char == brackets[-1]:
        out(blanks + reader.take(1))
    elif (yield from reader.is_closing()):
        out(brackets[-1])
    else:
        raise Broken
    brackets.pop()
    return None


def read_key(reader: Reader, out: Sink) -> Reading[str]:
    """A key and its colon, and the blanks about it. Returns the key."""
    if (yield from reader.peek()) in QUOTES:
        key = yield from read_string(reader, out)
    else:
        key = yield from _read_bare_key(reader)
        out(f'"{key}"')
    before = yield from reader.blanks()
    if (yield from reader.peek()) != ":":
        raise Broken
    reader.take(1)
    out(before + ":" + (yield from reader.blanks()))
    return key


def _read_bare_key(reader: Reader) -> Reading[str]:
    key = "" if reader.is_strict else (yield from reader.read(_BARE_KEY))
    if not key or not (yield from reader.peek()):
        raise Broken(key)
    return key


def read_string(reader: Reader, out: Sink) -> Reading[str]:
    """A string in any quotes. Returns what it says."""
    pieces: list[str] = []

    def both(piece: str) -> None:
        pieces.append(piece)
        out(piece)

    yield from _read_quoted(reader, both)
    return json.loads("".join(pieces))


def _read_scalar(reader: Reader, out: Sink, char: str) -> Reading[None]:
    if char in QUOTES:
        yield from _read_quoted(reader, out)
    else:
        yield from _read_word(reader, out)


def _read_word(reader: Reader, out: Sink) -> Reading[None]:
    word = yield from reader.read(_WORD)
    if word in CONSTANTS and not (reader.is_strict and word[0].isupper()):
        out(CONSTANTS[word])
    elif _NUMBER.fullmatch(word):
        out(word)
    else:
        raise Broken(word)


def _read_quoted(reader: Reader, out: Sink) -> Reading[None]:
    quote = yield from reader.peek()
    if reader.is_strict and quote != '"':
        raise Broken
    if quote == "<":
        yield from _read_specially_quoted(reader, out)
        return
    reader.take(1)
    out('"')
    while True:
        yield from reader.run(_PLAIN[quote], out)
        char = yield from reader.peek()
        if char == quote:
            reader.take(1)
            out('"')
            return
        if char == "\\":
            yield from _read_escape(reader, out)
        elif char and not reader.is_strict:
            out(escaped(reader.take(1)))
        else:
            raise Broken


def _read_specially_quoted(reader: Reader, out: Sink) -> Reading[None]:
    """Between quotes that are tokens of their own nothing is escaped."""
    yield from reader.expect(_SPECIAL_QUOTE)
    out('"')
    if not (yield from reader.until(_SPECIAL_QUOTE, lambda text: out(escaped(text)))):
        raise Broken
    out('"')


def _read_escape(reader: Reader, out: Sink) -> Reading[None]:
    escape = yield from reader.ahead(2)
    char = escape[1:]
    if char == "u":
        yield from _read_code(reader, out)
        return
    if not char or (reader.is_strict and char not in '"\\/bfnrt'):
        raise Broken
    reader.take(2)
    if char in '"\\/bfnrt':
        out(escape)
    else:
        out("'" if char == "'" else "\\\\" + escaped(char))


def _read_code(reader: Reader, out: Sink) -> Reading[None]:
    r"""`\uXXXX`. Half a surrogate pair becomes U+FFFD, for there is no such character."""
    code = yield from reader.ahead(6)
    if not _CODE.fullmatch(code):
        if len(code) < 6:
            raise Broken
        reader.take(2)
        out("\\\\u")
    elif not _LONE.fullmatch(code):
        out(reader.take(6))
    elif _PAIR.fullmatch((yield from reader.ahead(12))):
        out(reader.take(12))
    else:
        reader.take(6)
        out("\\ufffd")


def escaped(text: str) -> str:
    """The text as it stands inside a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def mended(text: str) -> str | None:
    """The text as valid JSON, or None if it is none: the blanks about it are dropped."""
    pieces: list[str] = []

    def parse(reader: Reader) -> Reading[None]:
        yield from reader.blanks()
        yield from read_value(reader, pieces.append)
        yield from reader.blanks()

    return "".join(pieces) if _is_whole(text, parse) else None


def _is_whole(text: str, parse: Callable[[Reader], Reading[None]]) -> bool:
    try:
        run_whole(text, parse)
    except Broken:
        return False
    return True
