"""What a call is counted in: its limits, what it costs, the ledger, the metrics."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

from antiphon.core.scope import Principal
from antiphon.engines.catalog import Model
from antiphon.features.rates.policy import Policy
from antiphon.ledger.keeper import Keeper
from antiphon.ledger.meter import Meter
from antiphon.ledger.record import Ending, Entry
from antiphon.limits.headers import Headers
from antiphon.limits.policy import Party
from antiphon.limits.protocol import Limits, Reservation, Used
from antiphon.limits.spend import Spending
from antiphon.wire.events import ServiceTier, Usage


class Background:
    """A call that nobody waits for, as those of a batch: it makes way for others, and its owner writes its books.

    `leave` is called when others need its place: it is to be cancelled then. `computed` is called when the engine has
    all of its prompt.
    """

    def __init__(self, leave: Callable[[], None], computed: Callable[[], None] = lambda: None) -> None:
        self.leave = leave
        self.num_waiting = 0
        """Others that begin like it, and are held back until it is computed."""
        self.is_computed = False
        self._computed = computed
        self.entry: Entry | None = None
        """The call in the ledger, once it has ended; what has failed or was left is not charged."""

    def note_computed(self) -> None:
        self.is_computed = True
        self._computed()

    def hold(self, entry: Entry) -> None:
        self.entry = entry

    def take_entry(self) -> Entry | None:
        """The entry, which is then no longer here."""
        entry, self.entry = self.entry, None
        return entry


class Caller(NamedTuple):
    """Who calls, and with what kind of client ("" for any)."""

    principal: Principal
    client: str = ""
    background: Background | None = None
    session: str = ""
    """The conversation, and the agent in it, if the client names them."""

    @property
    def service_tier(self) -> ServiceTier:
        return "batch" if self.background else "standard"


@dataclass(frozen=True, slots=True)
class Books:
    policy: Policy
    limits: Limits
    spending: Spending
    keeper: Keeper

    async def open(self, caller: Caller, model: Model, num_input: int, num_read: int = 0) -> "Account":
        """Reserve what a call is estimated at: `num_read` tokens of its prompt should be cached. Raises 429.

        Limits of pace are for those who wait; only the budget holds for all.
        """
        parties = self.policy.parties_of(caller.principal)
        self.spending.check(parties)
        reservation = await self.limits.reserve(() if caller.background else parties, model.label, num_input - num_read)
        return Account(self, caller, model.id, num_input, parties, reservation)

    def check_spending(self, principal: Principal) -> None:
        """Raises 429 where the month's budget is spent."""
        self.spending.check(self.policy.parties_of(principal))

    async def count(self, principal: Principal, model: Model) -> Headers:
        """Let one count of tokens pass, or raise 429."""
        return await self.limits.count(self.policy.parties_of(principal), model.label)


class Account:
    """One call. `begin` it when its engine starts, `end` it before its last frame, and `close` it whatever happened."""

    __slots__ = (
        "_books",
        "_caller",
        "_is_over",
        "_meter",
        "_model",
        "_num_input",
        "_parties",
        "_reservation",
        "_used",
    )

    def __init__(
        self,
        books: Books,
        caller: Caller,
        model: str,
        num_input: int,
        parties: tuple[Party, ...],
        reservation: Reservation,
    ) -> None:
        self._books = books
        self._caller = caller
        self._model = model
        self._num_input = num_input
        self._parties = parties
        self._reservation = reservation
        self._meter: Meter | None = None
        self._used: Used | None = None
        self._is_over = False

    @property
    def headers(self) -> Headers:
        return self._reservation.headers

    def begin(self, message_id: str) -> None:
        """Raises 529 where it cannot be written down."""
        self._meter = Meter.start(
            self._books.keeper,
            message_id,
            self._caller.principal,
            self._model,
            self._num_input,
            service_tier=self._caller.service_tier,
            client=self._caller.client,
            hold=self._caller.background.hold if self._caller.background else None,
        )

    def note(self, num_output: int) -> None:
        """`num_output` tokens are made so far."""
        self._reservation.settle_output(num_output)
        if self._meter:
            self._meter.note(num_output)

    def end(self, usage: Usage, ending: Ending, num_output: int) -> None:
        """Only the first time counts. `num_output` were really made; a call that failed before any costs nothing."""
        if self._meter is None or self._is_over:
            return
        self._is_over = True
        is_free = (ending == "failed" and not num_output) or (ending != "done" and self._caller.background)
        if is_free:
            self._meter.end(Usage(0, 0), ending)
            return
        if ending != "done":
            usage = replace(usage, output_tokens=num_output)
        written = usage.cache_creation_5m + usage.cache_creation_1h
        self._used = Used(usage.input_tokens + written, usage.output_tokens)
        if cost := self._meter.end(usage, ending):
            self._books.spending.add((party.id for party in self._parties), cost)

    def close(self) -> Awaitable[None]:
        return self._reservation.close(self._used)
