"""From settings to an engine: the scripted one, one that runs already, or the built-in one."""

import asyncio
import logging

from antiphon.core.clock import Clock, sleep
from antiphon.core.errors import ApiError, OperatorError
from antiphon.engines import gguf
from antiphon.engines.child import ChildEngine
from antiphon.engines.dialects.llamacpp import LlamaCpp
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


async def connect(settings: Settings, clock: Clock) -> Engine:
    """The engine that `settings` name: waits for a URL that does not answer yet; OperatorError for what cannot work."""
    if settings.engine == FAKE:
        return FakeEngine(clock)
    if settings.engine:
        return await _connect_url(settings, settings.engine, clock)
    return await _start_child(settings, clock)


async def _start_child(settings: Settings, clock: Clock) -> Engine:
    model = await asyncio.to_thread(find_model, settings.model, settings.data_dir)
    plan = gguf.plan(
        model.path, gguf.available_bytes(), gguf.num_cores(), window=settings.window, num_slots=settings.slots
    )
    engine = ChildEngine(model.path, settings.data_dir, clock, name=model.name, plan=plan, binary=settings.llama_server)
    await engine.start()
    return engine


async def _connect_url(settings: Settings, url: str, clock: Clock) -> Engine:
    if not url.startswith(("http://", "https://")):
        raise OperatorError(f"--engine takes a URL that starts with http:// or https://, or {FAKE}, not {url!r}.")
    key = settings.engine_key.get_secret_value() if settings.engine_key else None
    upstream = Upstream(url.removesuffix("/v1"), key)
    is_told = False
    while True:
        try:
            return await _speak(upstream, settings)
        except ApiError:
            if not is_told:
                log.warning("the engine at %s does not answer yet; waiting for it", url)
            is_told = True
            await sleep(clock, _RETRY_S)


async def _speak(upstream: Upstream, settings: Settings) -> Engine:
    """The dialect that the engine knows: llama.cpp tells itself by `/props`."""
    if await upstream.has("/props"):
        return LlamaCpp(upstream)
    return Plain(upstream, num_slots=settings.slots or _DEFAULT_NUM_SLOTS)
