"""Pictures, read once: the same bytes again cost nothing but a look."""

from typing import NamedTuple

from antiphon.media import words
from antiphon.media.child.frames import Frame
from antiphon.media.kept import Kept
from antiphon.media.load import Loaded
from antiphon.media.sandbox import MIB, Job, Sandbox
from antiphon.turn.attachments import Picture
from antiphon.turn.pixels import fitted
from antiphon.wire.content import Base64Image, ImageBlock
from antiphon.wire.media import Place

_KEPT_BYTES = 128 * MIB
_MAX_CPU_S = 4.0
"""The largest pictures take half of it."""


class Seen(NamedTuple):
    """A picture, with the type and the size that it had, and the (name, percent) of its main colours."""

    picture: Picture
    source_type: str
    source_size: tuple[int, int]
    colours: tuple[tuple[str, int], ...]


class Pictures:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._kept: Kept[tuple[str, str], Seen] = Kept(_KEPT_BYTES)

    async def read(self, workspace_id: str, place: Place, loaded: Loaded, max_side: int) -> Seen:
        """Raises `words.TooLarge`, or the API's error for what is no picture. No workspace meets another's."""
        key = (workspace_id, loaded.digest)
        seen = self._kept.get(key)
        if seen is None:
            job = Job("image", loaded.data, _MAX_CPU_S, {"max_side": max_side})
            answer = await self._sandbox.run(workspace_id, job)
            if "refused" in answer.fields:
                raise words.refusal(place, answer)
            seen = seen_in(answer)
            self._kept.put(key, seen, len(seen.picture.data))
        _check(place, seen, max_side)
        return seen


def seen_in(answer: Frame) -> Seen:
    fields = answer.fields
    picture = Picture(fields["digest"], fields["media_type"], answer.data, fields["width"], fields["height"])
    width, height = fields["source_size"]
    colours = tuple((str(name), int(percent)) for name, percent in fields["colours"])
    return Seen(picture, fields["source_type"], (width, height), colours)


def _check(place: Place, seen: Seen, max_side: int) -> None:
    """What depends on the request, not on the picture alone."""
    block = place.block
    assert isinstance(block, ImageBlock)
    if max(seen.source_size) > max_side:
        raise words.TooLarge(place)
    if isinstance(block.source, Base64Image) and block.source.media_type != seen.source_type:
        raise words.other_type(place, block.source.media_type, seen.source_type)
    wants_error = block.transformations and block.transformations.oversized_image == "error"
    if wants_error and (fitting := fitted(*seen.source_size)) != seen.source_size:
        raise words.would_shrink(place, seen.source_size, fitting)
