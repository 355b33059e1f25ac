"""What one call uses, from its engine's start to its end, whatever that is."""

from collections.abc import Callable

from antiphon.core.scope import Principal
from antiphon.ledger.keeper import Keeper
from antiphon.ledger.record import Ending, Entry, Start, end_of
from antiphon.wire.events import Usage

NOTE_STEP = 256
"""Output tokens after which the journal is told how far a call has come."""


class Meter:
    """Nothing here waits, so a cancelled call is metered too. `start` and `end` are a write to the journal each."""

    __slots__ = ("_first_token_s", "_hold", "_is_over", "_keeper", "_num_noted", "_start", "_started_s")

    def __init__(self, keeper: Keeper, start: Start, hold: Callable[[Entry], None] | None = None) -> None:
        self._keeper = keeper
        self._hold = hold
        self._start = start
        self._started_s = keeper.clock.monotonic()
        self._first_token_s: float | None = None
        self._num_noted = 0
        self._is_over = False

    @classmethod
    def start(
        cls,
        keeper: Keeper,
        message_id: str,
        principal: Principal,
        model: str,
        num_input: int,
        *,
        service_tier: str = "standard",
        client: str = "",
        hold: Callable[[Entry], None] | None = None,
    ) -> "Meter":
        """Raises 529 if the call cannot be written down: then its engine must not start.

        `hold` is given the call's entry when it ends: it is then its owner's to write.
        """
        scope, member = principal.scope, principal.member
        who = (scope.organization_id, scope.workspace_id, principal.key_id, member.user_id if member else "")
        start = Start(message_id, *who, model, service_tier, client, keeper.clock.now(), num_input)
        keeper.begin(start)
        return cls(keeper, start, hold)

    def note(self, num_output: int) -> None:
        """Tell that `num_output` tokens are made so far, in all: for each burst, as soon as it is there."""
        if self._first_token_s is None and num_output:
            self._first_token_s = self._keeper.clock.monotonic() - self._started_s
        if num_output - self._num_noted >= NOTE_STEP and not self._is_over:
            self._num_noted = num_output
            self._keeper.note(self._start.message_id, num_output)

    def end(self, usage: Usage, ending: Ending, web_searches: int = 0) -> int:
        """End the call, before its last frame is sent; what it costs, in nano-dollars. Only the first time counts."""
        if self._is_over:
            return 0
        self._is_over = True
        clock, first_s = self._keeper.clock, self._first_token_s
        end = end_of(
            self._start,
            usage,
            self._keeper.prices,
            ending,
            clock.now(),
            (clock.monotonic() - self._started_s) * 1000,
            None if first_s is None else first_s * 1000,
            web_searches,
        )
        if self._hold:
            self._hold(Entry(self._start, end))
        else:
            self._keeper.end(self._start, end)
        return end.cost
