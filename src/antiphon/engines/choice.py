"""Which slot of an engine computes a prompt, and what is moved before it does. Pure: no I/O, no clock."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from antiphon.engines.packed import num_common, num_tokens

WORTH_MOVING = 128
"""Tokens that are rather computed again than saved or brought in."""
_TAIL = 8
"""Tokens at the end of a prompt that go when its conversation goes on: the opening of a reply."""
_MAY_LOSE, _MAY_LOSE_OF_OWN = 0.5, 2.0
"""Tokens that may be lost for each that is not computed again. Of one session's own short calls, as those for titles,
more: hardly one goes on, and they are not to take slots from conversations."""

Keep = Literal["", "5m", "1h"]
_RANKS: dict[Keep, int] = {"": 1, "5m": 2, "1h": 3}


@dataclass(slots=True)
class Slot:
    """What is known of a slot: the prompt that it computed last. `salt` is None until it has computed one of ours."""

    number: int
    salt: str | None = None
    session: str = ""
    tokens: bytes = b""
    num_computed: int = 0
    num_output: int = 0
    keep: Keep = ""
    keeps_until: float = 0.0
    used_at: float = 0.0
    is_busy: bool = False

    @property
    def num_known(self) -> int:
        """Tokens that lie in it, as far as we know."""
        return min(self.num_computed, num_tokens(self.tokens))

    def shares(self, salt: str, tokens: bytes) -> int:
        """How many of `tokens` it would not compute again."""
        return min(self.num_computed, num_common(self.tokens, tokens)) if self.salt == salt else 0


class Wanted(NamedTuple):
    """A prompt that looks for a slot."""

    tokens: bytes
    salt: str
    session: str
    now: float
    is_one_of_many: bool = False
    """Whether others that begin alike will follow: then it may differ from the last one by a word at its end, and is no
    conversation that goes on."""


class Choice(NamedTuple):
    """The slot, and what is done before it begins: it is saved, then what `source` has, or the store, is brought in.

    `num_common` tokens of the prompt lie in it then.
    """

    slot: Slot
    num_common: int
    must_save: bool = False
    source: Slot | None = None
    """Another slot; it is to be saved first."""
    is_restored: bool = False
    """Whether the best of what is saved is brought in."""


def choose(slots: Sequence[Slot], wanted: Wanted, num_saved: int, is_saved: Callable[[Slot, int], bool]) -> Choice:
    """The best of the idle `slots`, of which there is at least one.

    `num_saved` tokens of the prompt are saved already; `is_saved` tells whether the first so many of a slot's tokens
    are. A conversation goes on where it was. What begins like another takes a copy of that, and leaves it in peace.
    """
    idle = _idle(slots)
    own = max(idle, key=lambda slot: _likeness(slot, wanted))
    shared = own.shares(wanted.salt, wanted.tokens)
    begun = _begun(idle, wanted)
    if begun and max(shared, num_saved) - begun.num_known < WORTH_MOVING:
        return Choice(begun, begun.num_known)
    lost = own.num_known - shared
    may_lose = min(WORTH_MOVING, shared * (_MAY_LOSE_OF_OWN if _is_same(own, wanted) else _MAY_LOSE))
    if (shared and lost <= _TAIL) or (lost < may_lose and num_saved - shared < WORTH_MOVING):
        is_branch = shared >= WORTH_MOVING and lost > (0 if wanted.is_one_of_many else _TAIL)
        return Choice(own, shared, must_save=is_branch and not is_saved(own, shared))
    slot = min(idle, key=lambda slot: _worth(slot, wanted.now))
    here = slot.shares(wanted.salt, wanted.tokens)
    must_save = slot.num_known - here >= WORTH_MOVING and not is_saved(slot, slot.num_known)
    if max(shared, num_saved) - here < WORTH_MOVING:
        return Choice(slot, here, must_save)
    if num_saved >= shared:
        return Choice(slot, num_saved, must_save, is_restored=True)
    return Choice(slot, shared, must_save, source=own)


def choose_in_place(slots: Sequence[Slot], wanted: Wanted) -> Choice:
    """The same where nothing can be moved: the slot that has most of the prompt, or else the least worthy."""
    idle = _idle(slots)
    own = max(idle, key=lambda slot: _likeness(slot, wanted))
    shared = own.shares(wanted.salt, wanted.tokens)
    if shared * 10 > num_tokens(wanted.tokens):
        return Choice(own, shared)
    if begun := _begun(idle, wanted):
        return Choice(begun, begun.num_known)
    slot = min(idle, key=lambda slot: _worth(slot, wanted.now))
    return Choice(slot, slot.shares(wanted.salt, wanted.tokens))


def free_of_worth(slots: Sequence[Slot], source: Slot, now: float, is_saved: Callable[[Slot, int], bool]) -> list[Slot]:
    """The idle ones that could take what `source` has computed: nothing is lost with them, and they do not have it.

    The least worthy come first.
    """
    free = [
        slot
        for slot in slots
        if not slot.is_busy
        and source.num_known - slot.shares(source.salt or "", source.tokens) >= WORTH_MOVING
        and (slot.num_known < WORTH_MOVING or is_saved(slot, slot.num_known))
    ]
    return sorted(free, key=lambda slot: _worth(slot, now))


def _idle(slots: Sequence[Slot]) -> list[Slot]:
    """Those that may be chosen: of all that were never used, one."""
    idle = [slot for slot in slots if not slot.is_busy]
    used = [slot for slot in idle if slot.salt is not None]
    return used if len(used) == len(idle) else [*used, next(slot for slot in idle if slot.salt is None)]


def _begun(idle: Sequence[Slot], wanted: Wanted) -> Slot | None:
    """The slot of the same prompt that was given up: the engine may be further with it than it has told."""
    same = (slot for slot in idle if slot.salt == wanted.salt and slot.tokens == wanted.tokens)
    return next((slot for slot in same if slot.num_known < num_tokens(slot.tokens)), None)


def _likeness(slot: Slot, wanted: Wanted) -> tuple[int, bool, float]:
    return slot.shares(wanted.salt, wanted.tokens), _is_same(slot, wanted), slot.used_at


def _is_same(slot: Slot, wanted: Wanted) -> bool:
    return bool(wanted.session) and slot.session == wanted.session


def _worth(slot: Slot, now: float) -> tuple[int, float]:
    return rank(slot.keep, slot.keeps_until, now) if slot.num_known else 0, slot.used_at


def rank(keep: Keep, keeps_until: float, now: float) -> int:
    """What goes first is lowest: what has no breakpoint or outlived it, then what is kept minutes, then hours."""
    return _RANKS[keep] if now < keeps_until else _RANKS[""]
