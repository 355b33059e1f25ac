"""Pictures in the messages of chat completions: parts of a message, in the order of its text.

No upstream takes them in a tool's result: there they are named, and follow in the user's next message.
"""

from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Any

from antiphon.core.errors import ApiError, Kind
from antiphon.engines.dialects.messages import messages_of
from antiphon.engines.http import Upstream, reading
from antiphon.engines.pictures import parts_of
from antiphon.turn.attachments import Picture
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.pixels import num_tokens


def messages_with_pictures(chat: Chat) -> list[dict[str, Any]]:
    """The messages of a chat that has pictures."""
    turns = list(_Results(chat.mark).moved(chat.turns))
    messages = messages_of(turns, str)
    for turn, message in zip(turns, messages, strict=True):
        if chat.mark in turn.text:
            message["content"] = _content(parts_of(turn, chat.mark))
    return messages


def estimate_of(turn: ChatTurn) -> int:
    """What the turn's pictures may cost in tokens."""
    return sum(num_tokens(picture.width, picture.height) for picture in turn.pictures)


def _content(parts: Iterable[str | Picture]) -> str | list[dict[str, Any]]:
    found = [{"type": "text", "text": part} if isinstance(part, str) else _image(part) for part in parts]
    has_images = any(part["type"] != "text" for part in found)
    return found if has_images else "".join(str(part["text"]) for part in found)


def _image(picture: Picture) -> dict[str, Any]:
    url = f"data:{picture.media_type};base64,{b64encode(picture.data).decode()}"
    return {"type": "image_url", "image_url": {"url": url}}


class _Results:
    """Pictures of tools' results are named there, and wait for the user's next turn."""

    def __init__(self, mark: str) -> None:
        self._mark = mark
        self._num_named = 0
        self._waiting: list[tuple[str, Picture]] = []

    def moved(self, turns: Iterable[ChatTurn]) -> Iterator[ChatTurn]:
        for turn in turns:
            if turn.role == "tool":
                yield self._named(turn) if turn.pictures else turn
            elif not self._waiting:
                yield turn
            elif turn.role == "user":
                shown = self._shown()
                yield ChatTurn("user", f"{shown.text}\n\n{turn.text}", pictures=shown.pictures + turn.pictures)
            else:
                yield self._shown()
                yield turn
        if self._waiting:
            yield self._shown()

    def _named(self, turn: ChatTurn) -> ChatTurn:
        texts = [part if isinstance(part, str) else self._name(part) for part in parts_of(turn, self._mark)]
        return turn._replace(text="".join(texts), pictures=())

    def _name(self, picture: Picture) -> str:
        self._num_named += 1
        self._waiting.append((f"[picture {self._num_named}]", picture))
        return self._waiting[-1][0]

    def _shown(self) -> ChatTurn:
        waiting, self._waiting = self._waiting, []
        text = "\n".join(f"{name}: {self._mark}" for name, _ in waiting)
        return ChatTurn("user", text, pictures=tuple(picture for _, picture in waiting))


async def probe_sight(upstream: Upstream) -> bool:
    """Whether SGLang says that its model sees; other servers do not know the question."""
    try:
        told: dict[str, Any] = await upstream.get_json("/get_model_info")
        with reading():
            return told.get("has_image_understanding") is True
    except ApiError as error:
        if error.kind is not Kind.INTERNAL:
            raise
        return False


def sight_of(row: dict[str, Any]) -> bool | None:
    """Whether the model's row of `/v1/models` says that it sees, as llama.cpp's and OpenRouter's do; None: nothing."""
    with reading():
        architecture: dict[str, Any] = row.get("architecture") or {}
        modalities: list[str] | None = architecture.get("input_modalities")
        return None if modalities is None else "image" in modalities
