"""The rows of the table, by number: each takes a session and gives its lines."""

from collections.abc import Callable

from bench.report import Line
from bench.rows import (
    batches,
    books,
    chats,
    disconnect,
    facades,
    latency,
    memory,
    pace,
    photo,
    prompt,
    real,
    real_batches,
    start,
    throughput,
    upload,
)
from bench.session import Bench

ROWS: dict[str, Callable[[Bench], list[Line]]] = {
    "1": latency.small,
    "1b": prompt.through_llamacpp,
    "2": throughput.requests,
    "3": latency.large,
    "4": throughput.tokens,
    "5": pace.paced,
    "6": facades.tax,
    "7": books.on_against_off,
    "8": memory.resident,
    "9": start.until_first_reply,
    "10": disconnect.until_closed,
    "11": batches.rows,
    "11r": real_batches.shared_prefix,
    "11c": chats.beside_a_batch,
    "upload": upload.of_a_large_file,
    "photo": photo.of_twelve_megapixels,
    "real": real.tokens_per_second,
    "real1": real.one_stream,
}

REAL = ("real", "real1", "11r", "11c")
"""Rows that need a real model."""
