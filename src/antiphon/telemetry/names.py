"""The server's metrics: what each is called, how it is labelled and what it counts.

No label holds a client's own word: a route is the path's template, a model the one that a name has resolved to.
"""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """One line of the table. `buckets` are a histogram's upper bounds."""

    kind: Literal["counter", "gauge", "histogram"]
    name: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


_REQUEST_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_FIRST_TOKEN_BUCKETS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_NEXT_TOKEN_BUCKETS_S = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1)

REQUESTS = Metric("counter", "antiphon_requests_total", "Requests that have ended.", ("route", "status"))
REQUEST_SECONDS = Metric(
    "histogram", "antiphon_request_seconds", "From a request's head to its last byte.", ("route",), _REQUEST_BUCKETS_S
)
OPEN_CALLS = Metric("gauge", "antiphon_open_calls", "Requests that are being answered.")
ERRORS = Metric(
    "counter", "antiphon_errors_total", "Errors that clients were told, in a reply or in mid-stream.", ("kind",)
)
TOKENS = Metric(
    "counter",
    "antiphon_tokens_total",
    "Tokens of calls that have ended, well or not; `direction` is input, output, cache_read or cache_creation.",
    ("model", "direction"),
)
FIRST_TOKEN_SECONDS = Metric(
    "histogram",
    "antiphon_time_to_first_token_seconds",
    "From a counted prompt to the first token, the wait for a slot included; not of replies that engines give whole.",
    ("model",),
    _FIRST_TOKEN_BUCKETS_S,
)
CACHE_LOST = Metric(
    "counter",
    "antiphon_cache_lost_tokens_total",
    "Prompt tokens that the server's records took to be cached, and that the engine has computed again.",
    ("model",),
)
NEXT_TOKEN_SECONDS = Metric(
    "histogram",
    "antiphon_time_per_output_token_seconds",
    "The mean time between the tokens of a reply, one observation a reply; not of those that engines give whole.",
    ("model",),
    _NEXT_TOKEN_BUCKETS_S,
)
QUEUE_WAITING = Metric("gauge", "antiphon_queue_waiting", "Calls that wait for a slot.")
QUEUE_REFUSED = Metric(
    "counter", "antiphon_queue_refused_total", "Calls refused with 529: the queue was full, or the wait too long."
)
SLOTS = Metric("gauge", "antiphon_slots", "Calls that the engines can run at once.")
SLOTS_IN_USE = Metric("gauge", "antiphon_slots_in_use", "Calls that the engines run now.")
LIMITS_HIT = Metric(
    "counter",
    "antiphon_limits_hit_total",
    "Calls refused with 429, by the first limit that they were over and whose it is.",
    ("party", "limit"),
)
ENGINE_UP = Metric("gauge", "antiphon_engine_up", "1 while the engine can be asked, 0 while it is away.")
ENGINE_RESTARTS = Metric("counter", "antiphon_engine_restarts_total", "Times that the engine was started again.")
PROMPT_UNREAD = Metric(
    "gauge",
    "antiphon_prompt_unread_tokens",
    "Tokens of prompts that the built-in engine has yet to compute.",
)
KV_ENTRIES = Metric("gauge", "antiphon_kv_entries", "Computed prompts that are kept beside the engine's slots.")
KV_BYTES = Metric("gauge", "antiphon_kv_bytes", "What they take, in memory or in the folder of `kv_dir`.")
KV_SAVED = Metric("counter", "antiphon_kv_saved_total", "Prompts that were moved out of a slot.")
KV_RESTORED = Metric("counter", "antiphon_kv_restored_total", "Prompts that were brought back into one.")
DATABASE_FAILURES = Metric(
    "counter", "antiphon_database_failures_total", "Transactions that failed because of the database."
)
LEDGER_PENDING = Metric(
    "gauge", "antiphon_ledger_pending_rows", "Calls that have ended and are not in the ledger's tables yet."
)
LOG_FAILURES = Metric("counter", "antiphon_request_log_failures_total", "Lines of the request log that were lost.")
BATCH_ITEMS = Metric(
    "counter",
    "antiphon_batch_items_total",
    "Requests of batches that have their result; `outcome` is succeeded, errored, canceled or expired.",
    ("outcome",),
)
BATCH_ITEMS_RUNNING = Metric("gauge", "antiphon_batch_items_running", "Requests of batches that this process works on.")
BUILD_INFO = Metric("gauge", "antiphon_build_info", "Always 1; the labels tell what runs.", ("version", "python"))

METRICS = (
    REQUESTS,
    REQUEST_SECONDS,
    OPEN_CALLS,
    ERRORS,
    TOKENS,
    CACHE_LOST,
    FIRST_TOKEN_SECONDS,
    NEXT_TOKEN_SECONDS,
    QUEUE_WAITING,
    QUEUE_REFUSED,
    SLOTS,
    SLOTS_IN_USE,
    LIMITS_HIT,
    ENGINE_UP,
    ENGINE_RESTARTS,
    PROMPT_UNREAD,
    KV_ENTRIES,
    KV_BYTES,
    KV_SAVED,
    KV_RESTORED,
    DATABASE_FAILURES,
    LEDGER_PENDING,
    LOG_FAILURES,
    BATCH_ITEMS,
    BATCH_ITEMS_RUNNING,
    BUILD_INFO,
)
