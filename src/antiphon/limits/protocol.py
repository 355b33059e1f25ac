"""The seam to what counts calls: in this process, or in a store that several share."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from antiphon.limits.headers import Headers
from antiphon.limits.policy import Party


class Used(NamedTuple):
    """What a call has consumed. Tokens read from a cache are no input here; those written to it are."""

    num_input: int
    num_output: int


class Reservation(Protocol):
    """A call that was let through. It counts as running until it is closed, whatever becomes of it."""

    @property
    def headers(self) -> Headers:
        """The rate limit headers of the reply, this call included. Ask as late as the reply allows."""
        ...

    def settle_output(self, num_output: int) -> None:
        """Note that `num_output` tokens are made so far, in all. Cheap: charged in steps of OUTPUT_STEP."""
        ...

    async def close(self, used: Used | None) -> None:
        """End the call. The first time counts, and cancelling it does not stop it.

        `used` corrects the estimate. None: the call failed. If it made no output, all that it took is given back, the
        request too; otherwise the estimated input and the noted output stay charged.
        """
        ...


OUTPUT_STEP = 64


class Limits(Protocol):
    """`contract/test_limits.py` is this protocol's specification, and runs over every implementation.

    A call that is refused, or cancelled while it waits for the answer, takes nothing.
    """

    async def reserve(self, parties: Sequence[Party], model_class: str, num_input: int) -> Reservation:
        """Let a call pass that is estimated at `num_input` tokens, or raise 429.

        Where `num_input` is more than a minute's limit, it passes once that limit is untouched, and overdraws it: it
        could never be served otherwise.
        """
        ...

    async def count(self, parties: Sequence[Party], model_class: str) -> Headers:
        """Let one count of tokens pass, or raise 429. They have requests per minute of their own, as many."""
        ...
