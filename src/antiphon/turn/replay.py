"""Thinking that a client sends back: it has to be what it was.

Only the latest assistant message is held to that. A block of ours that was changed in an earlier one, and any block
that another server has signed, is left out of the prompt without a word: sessions move, and keys are replaced.
"""

from antiphon.core.errors import invalid
from antiphon.turn.signature import Signer
from antiphon.wire.content import ThinkingBlock
from antiphon.wire.request import PromptRequest

_CHANGED = (
    "`thinking` or `redacted_thinking` blocks in the latest assistant message cannot be modified. "
    "These blocks must remain as they were in the original response."
)
_BROKEN = "Invalid `signature` in `thinking` block"


def check(request: PromptRequest, signer: Signer) -> None:
    """Raises 400 for a block of ours whose text, or whose signature, is not what we made."""
    if request.thinking is None or request.thinking.type == "disabled":
        return
    latest = next((turn for turn in reversed(request.turns) if turn.role == "assistant"), None)
    for index, block in enumerate(latest.blocks if latest else ()):
        if isinstance(block, ThinkingBlock) and signer.open(block.thinking, block.signature).origin == "changed":
            assert latest
            raise invalid(f"{latest.path(index)}: {_CHANGED if block.thinking else _BROKEN}")
