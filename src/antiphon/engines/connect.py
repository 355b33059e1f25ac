"""From settings to an engine: the scripted one, one that runs already, or the built-in one."""

import asyncio
import logging

from antiphon.core.clock import Clock, sleep
from antiphon.core.errors import ApiError, OperatorError
from antiphon.core.tasks import TaskGroup
from antiphon.engines.dialects.plain import Plain
from antiphon.engines.fake import FakeEngine
from antiphon.engines.http import Upstream
from antiphon.engines.models import find_model
from antiphon.engines.protocol import Engine
from antiphon.settings import Settings

log = logging.getLogger("antiphon.engines")
FAKE = "fake:"
_DEFAULT_NUM_SLOTS = 256
_RETRY_S = 1.0


async def connect(settings: Settings, clock: Clock, tasks: TaskGroup) -> Engine:
    """The engine that `settings` name. Waits for a URL that does not answer yet; OperatorError for what can never work."""
    if settings.engine == FAKE:
        return FakeEngine(clock)
    if settings.engine:
        return await _connect_url(settings, settings.engine, clock)
    from antiphon.engines.child import ChildEngine

    model = await asyncio.to_thread(find_model, settings.model, settings.data_dir)
    engine = ChildEngine(model.path, settings, clock, tasks, name=model.name)
    await engine.start()
    return engine


async def _connect_url(settings: Settings, url: str, clock: Clock) -> Engine:
    if not url.startswith(("http://", "https://")):
        raise OperatorError(f"--engine takes a URL that starts with http:// or https://, or {FAKE}, not {url!r}.")
    key = settings.engine_key.get_secret_value() if settings.engine_key else None
    upstream = Upstream(url.removesuffix("/v1"), key)
    while True:
        try:
            return await _speak(upstream, settings)
        except ApiError as error:
            log.warning("the engine at %s does not answer yet (%s)", url, error)
            await sleep(clock, _RETRY_S)


async def _speak(upstream: Upstream, settings: Settings) -> Engine:
    """The dialect that the engine knows: llama.cpp tells itself by `/props`."""
    from antiphon.engines.dialects.llamacpp import LlamaCpp

    if await upstream.has("/props"):
        return LlamaCpp(upstream)
    return Plain(upstream, num_slots=settings.slots or _DEFAULT_NUM_SLOTS)
