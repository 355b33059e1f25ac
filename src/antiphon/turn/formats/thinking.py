"""What a model thinks before it speaks."""

from antiphon.turn.formats.reader import Literals, Reading
from antiphon.turn.formats.scan import Scan


def read_thinking(scan: Scan, end: Literals) -> Reading[str]:
    """Thinking up to one of the tags that end it. Returns the tag, "" if the text ended before."""
    scan.drop()
    scan.turn_over()
    tag = yield from scan.reader.until(end, scan.think)
    scan.turn_over()
    return tag
