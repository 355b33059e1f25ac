"""Calls as JSON: an object that holds a name and arguments, under whichever keys; or a list of such objects."""

import json
from dataclasses import dataclass

from antiphon.turn.formats import pythonic
from antiphon.turn.formats.arguments import properties_of
from antiphon.turn.formats.reader import Broken, Reading, ignore
from antiphon.turn.formats.scan import Scan
from antiphon.turn.formats.values import OPENERS, QUOTES, enter, go_on, mended, read_string, read_value

NAMES = frozenset("name tool tool_name function function_name".split())
ARGUMENTS = frozenset("arguments parameters args input tool_input params".split())
WRAPPERS = frozenset("function function_call tool tool_call tool_calls".split())
ASIDES = frozenset("id index call_id tool_call_id".split())
TYPES = frozenset("function tool_use tool_call function_call".split())

MAX_WRAPPERS = 3

_LEADING = frozenset("arguments parameters".split())
"""Without a tag, only these make a reader wait for a name that may come after them."""
_DEFINING = frozenset("type properties $schema".split())
_DOUBLED = "{{"
"""So the template of Qwen2.5-Coder shows a call to its models; they write it with two closing braces, or with one."""


@dataclass
class _Call:
    name: str | None = None
    arguments: str | None = None
    """As valid JSON, where they came before the name."""
    is_done: bool = False
    depth: int = 0
    """How many wrappers it stands in."""


def read_calls(scan: Scan, depth: int = 0) -> Reading[None]:
    """A call, or a list of calls; other JSON is released as text. Raises Broken."""
    if (yield from scan.reader.peek()) == "[":
        yield from _read_list(scan, depth)
        return
    if (yield from scan.reader.ahead(2)) == _DOUBLED:
        scan.reader.take(1)
        scan.may_stray = True
    yield from _read_call(scan, depth)


def _read_list(scan: Scan, depth: int) -> Reading[None]:
    brackets: list[str] = []
    key = yield from enter(scan.reader, ignore, brackets)
    if key is None:
        scan.release()
    elif scan.is_pythonic and (yield from scan.reader.peek()).isidentifier():
        yield from pythonic.read_calls(scan, "]")
        return
    while key is not None:
        if (yield from scan.reader.peek()) != "{":
            scan.release()
        if scan.is_plain:
            yield from read_value(scan.reader, ignore)
        else:
            yield from _read_call(scan, depth)
        key = yield from go_on(scan.reader, ignore, brackets)


def _read_call(scan: Scan, depth: int) -> Reading[None]:
    call = _Call(depth=depth)
    try:
        yield from _read_object(scan, call)
    except Broken:
        if call.name and not (call.is_done or scan.call or scan.is_bare) and scan.reader.is_cut:
            scan.begin(call.name)
        raise
    if scan.is_plain or call.is_done:
        pass
    elif call.name and (not scan.is_bare or not scan.tools[call.name].get("required")):
        _write(scan, call, call.name, "{}")
    else:
        scan.release()
    if not scan.is_plain:
        scan.hold()


def _read_object(scan: Scan, call: _Call) -> Reading[None]:
    brackets: list[str] = []
    key = yield from enter(scan.reader, ignore, brackets)
    while key is not None:
        if scan.is_plain or call.is_done:
            yield from read_value(scan.reader, ignore)
        else:
            yield from _read_member(scan, call, key)
        key = yield from go_on(scan.reader, ignore, brackets)


def _read_member(scan: Scan, call: _Call, key: str) -> Reading[None]:
    char = yield from scan.reader.peek()
    if key in NAMES and char in QUOTES:
        _take_name(scan, call, (yield from read_string(scan.reader, ignore)))
    elif key in ARGUMENTS and (call.name or not scan.is_bare or (key in _LEADING and char == "{")):
        yield from _read_arguments(scan, call, char)
    elif key in WRAPPERS and char in OPENERS and call.depth < MAX_WRAPPERS:
        yield from _read_wrapped(scan, call, char)
    elif key == "type" and char in QUOTES:
        if (yield from read_string(scan.reader, ignore)) not in TYPES:
            scan.release()
    else:
        if scan.is_bare and key not in ASIDES:
            scan.release()
        yield from read_value(scan.reader, ignore)


def _read_wrapped(scan: Scan, call: _Call, char: str) -> Reading[None]:
    call.depth += 1
    if char == "{":
        yield from _read_object(scan, call)
    else:
        yield from _read_list(scan, call.depth)
        call.is_done = True


def _take_name(scan: Scan, call: _Call, text: str) -> None:
    call.name = scan.offered(text)
    if call.name is None:
        scan.release()
    elif call.arguments is not None:
        _write(scan, call, call.name, call.arguments)


def _read_arguments(scan: Scan, call: _Call, char: str) -> Reading[None]:
    if char == "{" and call.name:
        yield from read_arguments(scan, call.name)
        call.is_done = True
        return
    pieces: list[str] = []
    yield from read_value(scan.reader, pieces.append)
    call.arguments = _object_in("".join(pieces))
    if call.arguments is None:
        scan.release()
    elif call.name:
        _write(scan, call, call.name, call.arguments)


def read_arguments(scan: Scan, name: str) -> Reading[None]:
    """The arguments of a call of this tool, as a JSON object: the call begins and ends with it. Raises Broken."""
    pieces: list[str] = []
    brackets: list[str] = []
    key = yield from enter(scan.reader, pieces.append, brackets)
    if scan.is_bare and key in _DEFINING and key not in properties_of(scan.tools[name]):
        scan.release()  # the tool described, not called
        raise Broken
    call = scan.begin(name)
    call.add("".join(pieces))
    yield from call.read(scan.reader, key, brackets)
    scan.end(is_complete=True)


def _write(scan: Scan, call: _Call, name: str, arguments: str) -> None:
    call.is_done = True
    scan.begin(name).write_whole(arguments)
    scan.end(is_complete=True)


def _object_in(value: str) -> str | None:
    """Arguments that are no object: a string may hold one, and an empty string or null stands for none."""
    if value.startswith('"'):
        value = mended(json.loads(value) or "{}") or ""
    elif value == "null":
        value = "{}"
    return value if value.startswith("{") else None
