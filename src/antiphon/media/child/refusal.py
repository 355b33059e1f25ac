"""Why a child does not take what it was given."""

from typing import Any, Literal

Reason = Literal["broken", "unknown", "base64", "empty", "size", "encrypted", "no_ocr"]


class Refusal(Exception):
    """`facts` are told with it: the sizes that were too large, say."""

    def __init__(self, reason: Reason, **facts: Any) -> None:
        super().__init__(reason)
        self.reason = reason
        self.facts = facts
