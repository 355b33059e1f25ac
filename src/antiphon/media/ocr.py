"""The text in a picture, where the extra `ocr` is installed."""

import logging

from antiphon.media.kept import Kept
from antiphon.media.sandbox import MIB, Job, Sandbox
from antiphon.turn.attachments import Picture

log = logging.getLogger("antiphon.media")

_KEPT_BYTES = 8 * MIB
_MAX_CPU_S = 60.0
_HINT = "text in pictures is not read: install antiphon[ocr] to have it read for models that cannot see"


class Ocr:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self._kept: Kept[tuple[str, str], str] = Kept(_KEPT_BYTES)
        self._is_there = True

    async def read(self, workspace_id: str, picture: Picture) -> str | None:
        """The text, line by line; "" if there is none, None if nobody can tell."""
        key = (workspace_id, picture.digest)
        if (text := self._kept.get(key)) is not None or not self._is_there:
            return text
        answer = await self._sandbox.run(workspace_id, Job("text", picture.data, _MAX_CPU_S))
        if answer.fields.get("refused") == "no_ocr":
            self._is_there = False
            log.warning(_HINT)
        text = answer.fields.get("text")
        if text is not None:
            self._kept.put(key, text, len(text) + 200)
        return text
