"""Channels: every part of a reply has a header that says for whom it is (gpt-oss)."""

import re

from antiphon.turn.formats import envelope
from antiphon.turn.formats.reader import Broken, Literals, Reading
from antiphon.turn.formats.scan import Scan
from antiphon.turn.formats.thinking import read_thinking

BREAKS = ("<|start|>", "<|channel|>", "<|end|>", "<|return|>", "<|call|>")

_MESSAGE = "<|message|>"
_HEADER_END = Literals((_MESSAGE, "<|end|>", "<|return|>", "<|call|>"))
_BREAK = Literals(BREAKS)
_HEADERS = ("<|start|>", "<|channel|>")
_RECIPIENT = re.compile(r"to=([^\s<]+)")


def read_part(scan: Scan) -> Reading[None]:
    """A part from its header on: a call or thinking to its end, text as far as its header. Raises Broken."""
    is_header = True
    while is_header:
        header: list[str] = []
        end = yield from scan.reader.until(_HEADER_END, header.append)
        if end != _MESSAGE:
            scan.drop()
            return
        is_header = (yield from _read_content(scan, "".join(header))) in _HEADERS


def _read_content(scan: Scan, header: str) -> Reading[str]:
    if recipient := _RECIPIENT.search(header):
        yield from _read_call(scan, recipient[1])
    elif "analysis" in header:
        return (yield from read_thinking(scan, _BREAK))
    else:
        scan.drop()
    return ""


def _read_call(scan: Scan, recipient: str) -> Reading[None]:
    name = scan.offered(recipient)
    yield from scan.reader.blanks()
    if name is None or (yield from scan.reader.peek()) != "{":
        raise Broken
    yield from envelope.read_arguments(scan, name)
