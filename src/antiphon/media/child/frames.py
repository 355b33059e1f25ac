"""What goes through the pipes to a child and back: a JSON object, and bytes beside it."""

import json
import struct
from typing import Any, BinaryIO, NamedTuple

HEAD = struct.Struct("<II")


class Frame(NamedTuple):
    fields: dict[str, Any]
    data: bytes = b""


def packed(frame: Frame) -> bytes:
    """All but the data, which follows it on the wire."""
    fields = json.dumps(frame.fields).encode()
    return HEAD.pack(len(fields), len(frame.data)) + fields


def read(stream: BinaryIO) -> Frame | None:
    """The next frame; None at the end."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    num_fields, num_data = HEAD.unpack(head)
    return Frame(json.loads(stream.read(num_fields)), stream.read(num_data))


def write(stream: BinaryIO, frame: Frame) -> None:
    stream.write(packed(frame))
    stream.write(frame.data)
    stream.flush()
