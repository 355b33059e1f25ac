"""A request as the model is to read it: counted, and cleared of what its edits clear."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from antiphon.turn import edits
from antiphon.turn.chat import Chat
from antiphon.turn.pieces import Prompt
from antiphon.wire.fields import JsonObject
from antiphon.wire.request import PromptRequest

R = TypeVar("R", bound=PromptRequest)


class Counted(NamedTuple):
    chat: Chat
    prompt: Prompt


class Edited(NamedTuple, Generic[R]):
    """`num_original` counts the tokens before all edits; `applied` is None where the client has not asked for any."""

    request: R
    counted: Counted
    num_original: int
    applied: Sequence[JsonObject] | None


async def edited(request: R, count: Callable[[R], Awaitable[Counted]]) -> Edited[R]:
    """Counts once, and once more for each edit that is due and finds something to clear."""
    counted = await count(request)
    num_original = counted.prompt.num_tokens
    applied: list[JsonObject] = []
    for edit in edits.edits_of(request):
        num_before = counted.prompt.num_tokens
        if (cleared := edits.clear(request, edit, num_before)) is None:
            continue
        after = await count(cleared.request)
        num_spared = max(num_before - after.prompt.num_tokens, 0)
        if edits.is_worth_it(edit, num_spared):
            request, counted = cleared.request, after
            applied.append(edits.applied(edit, cleared.what, num_spared))
    return Edited(request, counted, num_original, applied if request.context_management else None)
