"""What a chat template can be told about thinking."""

import re
from typing import Any, NamedTuple

from antiphon.turn.chat import Chat
from antiphon.turn.formats.table import Format
from antiphon.turn.kinds import ALL_THINKING, ALWAYS_THINKING, NO_THINKING, Kinds
from antiphon.wire.options import Effort

_SWITCHES = ("enable_thinking", "thinking")
"""What templates ask to know whether to think, each family its own."""
_SWITCH = re.compile(rf"\bif (?:not )?(?:{'|'.join(_SWITCHES)})\b|\benable_thinking\b")
_EFFORTS: dict[Effort, str] = {"low": "low", "medium": "medium", "high": "high", "xhigh": "high", "max": "high"}
"""How hard to think, in the words of the templates that ask."""


class Thinking(NamedTuple):
    kinds: Kinds
    is_switched: bool
    takes_effort: bool

    def told(self, chat: Chat) -> dict[str, Any]:
        """The variables of the template. One that thinks whatever it is told should not do so for long unasked."""
        if self.is_switched:
            return dict.fromkeys(_SWITCHES, bool(chat.thinks))
        effort = chat.effort or (None if chat.thinks else "low")
        return {"reasoning_effort": _EFFORTS[effort]} if self.takes_effort and effort else {}


def thinking_of(template: str, form: Format) -> Thinking:
    is_switched = bool(_SWITCH.search(template))
    if not form.thinks(template):
        kinds = NO_THINKING
    else:
        kinds = ALL_THINKING if is_switched else ALWAYS_THINKING
    return Thinking(kinds, is_switched, "reasoning_effort" in template)
