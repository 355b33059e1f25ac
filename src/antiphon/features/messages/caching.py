"""Which prefixes of prompts are cached, by our own records, and what a call reads and writes of them.

The engine has the last word: what it has computed again was not read, whatever stands here.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, Literal, NamedTuple, TypeVar

from antiphon.core.clock import Clock
from antiphon.core.errors import ApiError, Kind
from antiphon.engines.catalog import Model
from antiphon.features.messages.context import Counted
from antiphon.turn.breakpoints import LOOKBACK, Prefixes, Ttl, cut, has_breakpoints, prefixes_of, previous_message_of
from antiphon.turn.chat import Chat, ChatTurn
from antiphon.turn.reuse import NOTHING_KEPT, Kept, num_common
from antiphon.turn.steady import steady
from antiphon.wire.fields import JsonObject
from antiphon.wire.options import Effort
from antiphon.wire.request import MessageRequest, PromptRequest

MAX_ENTRIES = 20_000
MAX_MESSAGES = 5_000
"""Of calls that have asked for diagnostics: how many are remembered."""

_Habit = tuple[str, bool | None, Effort | None]
"""A model, and how it is to think: what the end of a prompt depends on."""
_TTL_S = {"5m": 300.0, "1h": 3600.0}
K = TypeVar("K")
V = TypeVar("V")
R = TypeVar("R", bound=PromptRequest)

Read = Callable[[MessageRequest], Awaitable[Counted]]


class Entry(NamedTuple):
    """A prefix that was computed: how many tokens, and what they were."""

    num_tokens: int
    fingerprint: int
    ttl: Ttl
    expires_at: float


class Asked(NamedTuple):
    """What is remembered of a call for the diagnostics of the next one."""

    model: str
    prefixes: Prefixes
    num_tokens: int


class Cached(NamedTuple):
    """What a call reads and writes. `diagnostics` is None for a client that has not asked."""

    kept: Kept = NOTHING_KEPT
    written: tuple[tuple[bytes, Entry], ...] = ()
    asked: Asked | None = None
    diagnostics: JsonObject | None = None

    @property
    def keep(self) -> Literal["", "5m", "1h"]:
        """How long the engine should keep the prompt, as far as that is asked."""
        ttls = [entry.ttl for _, entry in self.written]
        return "1h" if "1h" in ttls else "5m" if ttls else ""


class Recent(Generic[K, V]):
    """The `size` values that were set or found last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: OrderedDict[K, V] = OrderedDict()

    def get(self, key: K) -> V | None:
        if key in self._values:
            self._values.move_to_end(key)
        return self._values.get(key)

    def put(self, key: K, value: V) -> None:
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > self._size:
            self._values.popitem(last=False)


class Caching:
    """`min_tokens` is what a prefix has to have to be cached. No workspace sees what another has cached."""

    def __init__(self, clock: Clock, *, min_tokens: int, tells_all: bool, is_steady: bool) -> None:
        self._clock = clock
        self._min_tokens = min_tokens
        self._is_steady = is_steady
        self._nothing = Cached(Kept(tells_all=tells_all))
        self._entries: Recent[tuple[str, bytes], Entry] = Recent(MAX_ENTRIES)
        self._places: Recent[tuple[str, bytes], tuple[int, int]] = Recent(MAX_ENTRIES)
        self._tails: dict[_Habit, int] = {}
        self._messages: Recent[tuple[str, str], Asked] = Recent(MAX_MESSAGES)

    def steady(self, request: R) -> R:
        """The request as it is for every turn of a conversation, if the operator wants that."""
        return steady(request) if self._is_steady else request

    async def look(
        self, workspace_id: str, model: Model, request: MessageRequest, counted: Counted, read: Read
    ) -> Cached:
        """What the records expect of a call. Asks the engine only where it does not know a breakpoint's place."""
        if not has_breakpoints(request) and request.diagnostics is None:
            return self._nothing
        prefixes = prefixes_of(request.model_copy(update={"model": model.id}))
        measure = _Measure(self, workspace_id, model, request, prefixes, counted, read)
        cached = await self._look(workspace_id, prefixes, measure)
        if request.diagnostics is None:
            return cached
        asked = Asked(model.id, prefixes, counted.prompt.num_tokens)
        reason = self._reason(workspace_id, previous_message_of(request), asked)
        return cached._replace(asked=asked, diagnostics={"cache_miss_reason": reason})

    async def _look(self, workspace_id: str, prefixes: Prefixes, measure: "_Measure") -> Cached:
        now = self._clock.monotonic()
        written: list[tuple[bytes, Entry]] = []
        for mark in prefixes.marks:
            num_tokens = await measure.place(mark.position)
            if num_tokens >= self._min_tokens:
                entry = Entry(num_tokens, measure.fingerprint(num_tokens), mark.ttl, now + _TTL_S[mark.ttl])
                written.append((prefixes.digests[mark.position], entry))
        if not written:
            return self._nothing
        num_tokens = max(entry.num_tokens for _, entry in written)
        num_1h = max((entry.num_tokens for _, entry in written if entry.ttl == "1h"), default=0)
        num_read = min(num_tokens, await self._find(workspace_id, prefixes, measure, now))
        return Cached(Kept(num_tokens, num_1h, num_read), tuple(written))

    async def _find(self, workspace_id: str, prefixes: Prefixes, measure: "_Measure", now: float) -> int:
        """Tokens of the longest prefix that an earlier call has kept, which lives on for being found."""
        for mark in reversed(prefixes.marks):
            for position in range(mark.position, max(-1, mark.position - LOOKBACK), -1):
                key = (workspace_id, prefixes.digests[position])
                entry = self._entries.get(key)
                if entry and now < entry.expires_at:
                    self._entries.put(key, entry._replace(expires_at=now + _TTL_S[entry.ttl]))
                    return await measure.shared(entry, position)
        return 0

    def keep(self, workspace_id: str, message_id: str, cached: Cached) -> None:
        """To be called when the engine has computed the prompt: from now on others may read it."""
        for digest, entry in cached.written:
            key = (workspace_id, digest)
            old = self._entries.get(key)
            if old and old.expires_at > entry.expires_at:
                entry = entry._replace(ttl=old.ttl, expires_at=old.expires_at)
            self._entries.put(key, entry)
        if cached.asked:
            self._messages.put((workspace_id, message_id), cached.asked)

    def _reason(self, workspace_id: str, previous_id: str | None, asked: Asked) -> JsonObject | None:
        """Why the prompt of the previous message could not be reused; None where it could, or where there is none."""
        if previous_id is None:
            return None
        previous = self._messages.get((workspace_id, previous_id))
        if previous is None:
            return {"type": "previous_message_not_found"}
        kind = _change(previous, asked)
        if kind in (None, "unavailable"):
            return kind and {"type": kind}
        return {"type": kind, "cache_missed_input_tokens": min(previous.num_tokens, asked.num_tokens)}


class _Measure:
    """How many tokens of one prompt its leading blocks are."""

    def __init__(
        self,
        caching: Caching,
        workspace_id: str,
        model: Model,
        request: MessageRequest,
        prefixes: Prefixes,
        counted: Counted,
        read: Read,
    ) -> None:
        self._caching = caching
        self._workspace_id = workspace_id
        self._model = model
        self._request = request
        self._prefixes = prefixes
        self._counted = counted
        self._read = read
        self._tokens = counted.prompt.tokens

    def fingerprint(self, num_tokens: int) -> int:
        return hash(tuple(self._tokens[:num_tokens]))

    async def shared(self, entry: Entry, position: int) -> int:
        """Tokens that the prompt has in common with the one that made the entry of the block at `position`.

        Where a block ends, its last token may have grown together with what has followed it.
        """
        if entry.fingerprint == self.fingerprint(entry.num_tokens):
            return entry.num_tokens
        return min(entry.num_tokens, await self.place(position))

    async def place(self, position: int) -> int:
        """Tokens that every prompt has which begins with the same blocks; known from an earlier one if it can be."""
        key = (self._workspace_id, self._prefixes.digests[position])
        known = self._caching._places.get(key)  # pyright: ignore[reportPrivateUsage]
        if known and self._tokens and known[1] == self.fingerprint(known[0]):
            return known[0]
        num_tokens = min(await self._measure(position), max(0, self._counted.prompt.num_tokens - 1))
        self._caching._places.put(key, (num_tokens, self.fingerprint(num_tokens)))  # pyright: ignore[reportPrivateUsage]
        return num_tokens

    async def _measure(self, position: int) -> int:
        if position + 1 == len(self._prefixes.digests):
            return self._counted.prompt.num_tokens - await self._tail()
        try:
            shorter = (await self._read(cut(self._request, position))).prompt
        except ApiError as error:
            if error.kind is not Kind.INVALID_REQUEST:  # a template that refuses so short a chat
                raise
            return 0
        return num_common(self._tokens, shorter.tokens) if self._tokens else shorter.num_tokens

    async def _tail(self) -> int:
        """Tokens at the end of a prompt that are not there any more when the conversation has gone on."""
        chat = self._counted.chat
        if chat.prefill or not self._tokens:
            return 1
        tails = self._caching._tails  # pyright: ignore[reportPrivateUsage]
        key: _Habit = (self._model.id, chat.thinks, chat.effort)
        if key not in tails:
            like = Chat((), thinks=chat.thinks, effort=chat.effort)
            turns = (ChatTurn("user", "x"), ChatTurn("assistant", "y"), ChatTurn("user", "z"))
            first, later = [await self._tokens_of(like._replace(turns=turns[:num])) for num in (1, 3)]
            tails[key] = len(first) - num_common(first, later)
        return max(1, tails[key])

    async def _tokens_of(self, chat: Chat) -> Sequence[int | str]:
        return (await self._model.engine.prepare(self._model.id, chat)).tokens


def _change(before: Asked, after: Asked) -> str | None:
    """The first thing in the order of the prompt that is not as it was; None where the prompt has only grown."""
    old, new = before.prefixes, after.prefixes
    if before.model != after.model:
        return "model_changed"
    if _ends(old, old.num_tools) != _ends(new, new.num_tools):
        return "tools_changed"
    if _ends(old, old.num_before_messages) != _ends(new, new.num_before_messages):
        return "system_changed"
    if old.parameters != new.parameters:
        return "unavailable"
    return None if new.digests[: len(old.digests)] == old.digests else "messages_changed"


def _ends(prefixes: Prefixes, num_blocks: int) -> tuple[int, bytes]:
    return num_blocks, prefixes.digests[num_blocks - 1] if num_blocks else b""
