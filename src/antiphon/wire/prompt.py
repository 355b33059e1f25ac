"""The prompt of the legacy Text Completions: one string that holds a conversation (Text Completions, "Prompt")."""

import re
from typing import Literal

from antiphon.core.errors import invalid

HUMAN = "\n\nHuman:"
ASSISTANT = "\n\nAssistant:"
_MARK = re.compile(f"{HUMAN}|{ASSISTANT}")

PromptRole = Literal["system", "user", "assistant"]


def turns_of(prompt: str) -> list[tuple[PromptRole, str]]:
    """The prompt's turns as (role, text); ApiError 400 when it does not hold a conversation.

    Text before the first Human turn is one `system` turn. A last `assistant` turn holds what the reply continues,
    and there is none when the prompt ends with a bare mark. One space behind a mark, and the white space at the end
    of a turn, belong to the marks. Consecutive turns of one role stay apart.
    """
    marks = list(_MARK.finditer(prompt))
    _check_marks(marks)
    ends = [mark.start() for mark in marks[1:]] + [len(prompt)]
    turns = [_turn(mark[0], prompt[mark.end() : end]) for mark, end in zip(marks, ends, strict=True)]
    turns[-1] = ("assistant", prompt[marks[-1].end() :].removeprefix(" "))
    system = prompt[: marks[0].start()].strip()
    head: list[tuple[PromptRole, str]] = [("system", system)] if system else []
    return head + (turns if turns[-1][1].strip() else turns[:-1])


def _check_marks(marks: list[re.Match[str]]) -> None:
    if not marks or marks[0][0] != HUMAN:
        raise invalid(f'prompt must start with "{HUMAN}" turn after an optional system prompt')
    if marks[-1][0] != ASSISTANT:
        raise invalid(f'prompt must end with "{ASSISTANT}" turn')


def _turn(mark: str, text: str) -> tuple[PromptRole, str]:
    return ("user" if mark == HUMAN else "assistant"), text.removeprefix(" ").rstrip()
