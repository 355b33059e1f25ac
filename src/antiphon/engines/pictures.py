"""A turn's pictures where they stand in its text."""

from collections.abc import Iterator

from antiphon.turn.attachments import Picture
from antiphon.turn.chat import ChatTurn


def parts_of(turn: ChatTurn, mark: str) -> Iterator[str | Picture]:
    """The texts and pictures of a turn, in order. A mark that stands for no picture is left out."""
    pictures = iter(turn.pictures)
    for number, text in enumerate(turn.text.split(mark) if mark else [turn.text]):
        if number and (picture := next(pictures, None)):
            yield picture
        if text:
            yield text
