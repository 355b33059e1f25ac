"""What a recogniser finds in a model's text."""

from typing import NamedTuple


class Text(NamedTuple):
    text: str


class Thinking(NamedTuple):
    text: str


class CallStart(NamedTuple):
    """A call begins. `name` is that of an offered tool."""

    name: str


class CallArgs(NamedTuple):
    """A part of the arguments' JSON text. All parts of a complete call, joined, are one JSON object."""

    fragment: str


class CallEnd(NamedTuple):
    """The call that began last is over; if it is not complete, its parts joined are the beginning of a JSON object."""

    is_complete: bool


Out = Text | Thinking | CallStart | CallArgs | CallEnd
