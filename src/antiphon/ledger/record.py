"""One call in the ledger: what is known when its engine starts, what when it ends, and the lines that say so."""

from collections.abc import Iterable
from typing import Any, Literal, NamedTuple, cast

import orjson

from antiphon.ledger.price import Prices, cost_of
from antiphon.wire.events import Usage

Ending = Literal["done", "failed", "left", "cut"]
"""`failed` by the server or its engine, `left` by its client, `cut` because the server died under it."""

_LONG_CONTEXT = 200_000
_MOST = 10**15
"""What no call can come to, in tokens or nano-dollars: an engine that counts wildly must not break the sums."""
_MINUTE_S = 60


class Start(NamedTuple):
    message_id: str
    organization_id: str
    workspace_id: str
    key_id: str
    user_id: str
    model: str
    service_tier: str
    client: str
    started_at: float
    num_input: int
    """An estimate, where the engine's count is one."""


class Counts(NamedTuple):
    """What calls are summed up in, by the names of the tables' columns. Costs are in nano-dollars."""

    input_tokens: int
    cache_read_tokens: int
    cache_write_5m_tokens: int
    cache_write_1h_tokens: int
    output_tokens: int
    thinking_tokens: int
    web_searches: int
    input_cost: int
    cache_read_cost: int
    cache_write_5m_cost: int
    cache_write_1h_cost: int
    output_cost: int


class End(NamedTuple):
    ended_at: float
    latency_ms: float
    first_token_ms: float | None
    ending: Ending
    counts: Counts

    @property
    def cost(self) -> int:
        """All of it, in nano-dollars."""
        counts = self.counts
        inputs = counts.input_cost + counts.cache_read_cost + counts.cache_write_5m_cost + counts.cache_write_1h_cost
        return inputs + counts.output_cost


class Entry(NamedTuple):
    """A call that is over: one row of the table `usage`."""

    start: Start
    end: End

    def unbilled(self) -> "Entry":
        """The same call, if nobody gets what it has made."""
        return Entry(self.start, self.end._replace(ending="left", counts=Counts(*[0] * len(Counts._fields))))

    @property
    def minute(self) -> int:
        """The minute since the epoch in which it ended: the one that it counts into."""
        return int(self.end.ended_at // _MINUTE_S)

    def as_row(self) -> tuple[Any, ...]:
        """Its values, in the order of COLUMNS."""
        start, (_, latency_ms, first_token_ms, ending, counts) = self
        facts = (latency_ms, first_token_ms, ending, self.minute, _context_window(counts))
        if max(counts) > _MOST or min(counts) < 0:
            return (*start[:-1], *facts, *[max(0, min(count, _MOST)) for count in counts])
        return (*start[:-1], *facts, *counts)


COLUMNS = (
    *Start._fields[:-1],
    *("latency_ms", "first_token_ms", "ending", "minute", "context_window"),
    *Counts._fields,
)


def _context_window(counts: Counts) -> str:
    num_written = counts.cache_write_5m_tokens + counts.cache_write_1h_tokens
    num_input = counts.input_tokens + counts.cache_read_tokens + num_written
    return "200k-1M" if num_input > _LONG_CONTEXT else "0-200k"


def end_of(
    start: Start,
    usage: Usage,
    prices: Prices,
    ending: Ending,
    ended_at: float,
    latency_ms: float,
    first_token_ms: float | None,
    web_searches: int = 0,
) -> End:
    counts = Counts(
        usage.input_tokens,
        usage.cache_read,
        usage.cache_creation_5m,
        usage.cache_creation_1h,
        usage.output_tokens,
        usage.thinking_tokens,
        web_searches,
        *cost_of(prices.rates_of(start.model, start.service_tier), usage),
    )
    return End(ended_at, latency_ms, first_token_ms, ending, counts)


class OpenCall(NamedTuple):
    """A call that was not over when its journal ended: what it had written, and when that was noted."""

    start: Start
    num_output: int
    at: float

    def cut(self, prices: Prices) -> Entry:
        """What it is charged: the estimate of its input, and the output that was noted last.

        A request of a batch is asked once more, and charged for that.
        """
        is_repeated = self.start.service_tier == "batch"
        usage = Usage(0, 0) if is_repeated else Usage(self.start.num_input, self.num_output)
        latency_ms = max(0.0, self.at - self.start.started_at) * 1000
        return Entry(self.start, end_of(self.start, usage, prices, "cut", self.at, latency_ms, None))


def start_line(start: Start) -> bytes:
    return orjson.dumps(("start", *start), option=orjson.OPT_APPEND_NEWLINE)


def note_line(message_id: str, num_output: int, at: float) -> bytes:
    return orjson.dumps(("note", message_id, num_output, at), option=orjson.OPT_APPEND_NEWLINE)


def end_line(message_id: str, end: End) -> bytes:
    return orjson.dumps(("end", message_id, *end[:-1], *end.counts), option=orjson.OPT_APPEND_NEWLINE)


class Pages(NamedTuple):
    """What a piece of a journal says. `num_broken` lines are none of ours; the last one may just be torn."""

    ended: list[Entry]
    open: list[OpenCall]
    num_broken: int


def read_lines(data: bytes) -> Pages:
    ended: list[Entry] = []
    open_calls: dict[str, OpenCall] = {}
    num_broken = 0
    for line in _whole(data):
        try:
            kind, *fields = cast(list[Any], orjson.loads(line))
            if kind == "start":
                start = Start(*fields)
                open_calls[start.message_id] = OpenCall(start, 0, start.started_at)
            elif kind == "note":
                message_id, num_output, at = fields
                open_calls[message_id] = OpenCall(open_calls[message_id].start, num_output, at)
            else:
                message_id, ended_at, latency_ms, first_token_ms, ending, *counts = fields
                end = End(ended_at, latency_ms, first_token_ms, ending, Counts(*counts))
                ended.append(Entry(open_calls[message_id].start, end))
                del open_calls[message_id]
        except (ValueError, TypeError, KeyError):
            num_broken += 1
    return Pages(ended, list(open_calls.values()), num_broken)


def _whole(data: bytes) -> Iterable[bytes]:
    """The lines that were written to their end."""
    return data[: data.rfind(b"\n") + 1].splitlines()


def client_of(user_agent: str | None) -> str:
    """The client that `user-agent` names, where it is one that reports know."""
    return "claude_code" if user_agent and user_agent.startswith("claude-cli/") else ""
