"""Pictures in llama.cpp's prompts.

Such a prompt goes as text with a marker for each picture, because token ids and pictures do not mix. Before that, each
picture stands as a numbered place, so that a template may leave some out.
"""

import re
from base64 import b64encode
from collections.abc import Sequence
from typing import Any, NamedTuple

from antiphon.core.errors import ApiError, Kind, invalid
from antiphon.engines.http import Upstream, reading
from antiphon.engines.pictures import parts_of
from antiphon.turn.attachments import Picture
from antiphon.turn.chat import Chat

NO_WIDTH = "\u200b"
"""What breaks a control token's name where it cannot be cut: see decision 0020."""
_PLACE = -1  # a picture's place among token ids
_MAX_SIZES = 10_000
_MAX_BYTES = 70_000_000  # of pictures in one prompt: the server takes no body of more than 100 MiB, and this is base64


def marker_of(props: dict[str, Any]) -> str:
    """What stands for a picture in a text, for as long as the server runs; "" for one that does not see.

    Servers that do not tell it are too old: they cannot count pictures either.
    """
    with reading():
        modalities: dict[str, Any] = props.get("modalities") or {}
        return (props.get("media_marker") or "") if modalities.get("vision") else ""


class Seen(NamedTuple):
    """A prompt's `texts` before, between and after its pictures."""

    texts: tuple[str, ...]
    pictures: tuple[Picture, ...]

    def prompt(self, marker: str, opening: str) -> dict[str, Any]:
        """As `/completion` takes it, with the marker of the server that runs now."""
        data = [b64encode(picture.data).decode() for picture in self.pictures]
        return {"prompt_string": marker.join(self.texts) + opening, "multimodal_data": data}

    def parts(self) -> list[str | int]:
        """The texts as the server will tokenize them, each on its own, with `_PLACE` for each picture."""
        return [part for text in self.texts for part in (text, _PLACE)][:-1]


def numbered(chat: Chat, place: str) -> tuple[Chat, list[Picture]]:
    """The chat with `place` and a number where each picture stood, and the pictures."""
    pictures: list[Picture] = []

    def shown(part: str | Picture) -> str:
        if isinstance(part, str):
            return part
        pictures.append(part)
        return f"{place}{len(pictures) - 1:04}"

    if not chat.mark:
        return chat, pictures
    turns = [turn._replace(text="".join(map(shown, parts_of(turn, chat.mark))), pictures=()) for turn in chat.turns]
    return chat._replace(turns=tuple(turns), prefill=chat.prefill.replace(chat.mark, "")), pictures


def seen_in(text: str, place: str, pictures: Sequence[Picture]) -> Seen:
    """What a template has made of a numbered chat. Raises 413 where the pictures are more than the server takes."""
    parts = re.split(rf"{place}(\d{{4}})", text)
    seen = Seen(tuple(parts[::2]), tuple(pictures[int(number)] for number in parts[1::2]))
    if sum(len(picture.data) for picture in seen.pictures) > _MAX_BYTES:
        raise ApiError(Kind.TOO_LARGE, "Request exceeds the maximum size")
    return seen


class Eyes:
    """What the server makes of pictures, asked once for each size."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._sizes: dict[tuple[int, int], int] = {}

    async def put_in(self, ids: Sequence[int], pictures: Sequence[Picture]) -> list[int | str]:
        """The tokens of a whole prompt: a picture's digest stands for each of its own."""
        left, tokens = iter(pictures), list[int | str]()
        for token in ids:
            if token == _PLACE:
                picture = next(left)
                tokens += [picture.digest] * await self._num_tokens(picture)
            else:
                tokens.append(token)
        return tokens

    async def _num_tokens(self, picture: Picture) -> int:
        size = (picture.width, picture.height)
        if size not in self._sizes:
            if len(self._sizes) >= _MAX_SIZES:
                self._sizes.clear()
            self._sizes[size] = await self._measure(picture)
        return self._sizes[size]

    async def _measure(self, picture: Picture) -> int:
        """What a second one adds, for a template may write something around the first."""
        source = {"type": "base64", "media_type": picture.media_type, "data": b64encode(picture.data).decode()}
        image = {"type": "image", "source": source}
        return await self._count([image, image]) - await self._count([image])

    async def _count(self, content: list[Any]) -> int:
        """Counts without computing. Raises 400 for a picture that the engine cannot read."""
        try:
            body = {"messages": [{"role": "user", "content": content}]}
            counted = await self._upstream.post_json("/v1/messages/count_tokens", body)
        except ApiError as error:
            if error.kind is not Kind.INTERNAL:
                raise
            raise invalid("Could not process image") from error
        with reading():
            return int(counted["input_tokens"])
