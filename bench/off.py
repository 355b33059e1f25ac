"""The same server with limits, ledger and metrics switched off: what row 7 measures against."""

from collections.abc import Sequence
from typing import Any

from antiphon.cli import main
from antiphon.features.messages.books import Books
from antiphon.telemetry.metrics import Metrics


class _Nothing:
    headers: Sequence[tuple[bytes, bytes]] = ()

    def begin(self, message_id: str) -> None: ...

    def note(self, num_output: int) -> None: ...

    def end(self, *_: Any) -> None: ...

    async def close(self) -> None: ...


async def _open(*_: Any) -> _Nothing:
    return _Nothing()


def _ignore(*_: Any, **__: Any) -> None: ...


if __name__ == "__main__":
    Books.open = _open  # type: ignore[method-assign,assignment]
    for name in ("count_request", "count_error", "count_tokens", "count_pace", "count_limit"):
        setattr(Metrics, name, _ignore)
    main()
