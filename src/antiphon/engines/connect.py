"""From settings to an engine and its models: the scripted one, one that runs already, or the built-in one."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeVar
from urllib.parse import SplitResult, urlsplit

from antiphon.core.clock import Clock, sleep
from antiphon.core.errors import ApiError, Kind, OperatorError, overloaded
from antiphon.engines import gguf
from antiphon.engines.child import ChildEngine
from antiphon.engines.dialects.llamacpp import LlamaCpp
from antiphon.engines.dialects.plain import Plain
from antiphon.engines.fake import FakeEngine
from antiphon.engines.http import Upstream
from antiphon.engines.keeping import saved_prompts
from antiphon.engines.models import find_model
from antiphon.engines.projector import read_projector
from antiphon.engines.protocol import Engine, EngineModel
from antiphon.engines.setup import read_tuned
from antiphon.settings import Settings

log = logging.getLogger("antiphon.engines")
FAKE = "fake:"
_DEFAULT_NUM_SLOTS = 256
_RETRY_S = 1.0

T = TypeVar("T")
Connected = tuple[Engine, tuple[EngineModel, ...]]


async def connect(settings: Settings, clock: Clock) -> Connected:
    """The engine that `settings` name, and its models, at least one.

    Waits for an engine that does not answer yet; OperatorError for what cannot work.
    """
    if settings.engine == FAKE:
        engine = FakeEngine(clock)
        return engine, await engine.models()
    if settings.engine:
        return await _connect_url(settings, _url(settings.engine), clock)
    return await _start_child(settings, clock)


async def _start_child(settings: Settings, clock: Clock) -> Connected:
    model = await find_model(settings.model, settings.data_dir)
    file = settings.mmproj or model.projector
    projector = read_projector(file) if file else None
    plan = gguf.plan(
        model.path,
        gguf.available_bytes(),
        gguf.num_cores(),
        window=settings.window,
        num_slots=settings.slots,
        extra_bytes=projector.memory_bytes if projector else 0,
        min_batch=projector.min_batch if projector else 0,
    )
    tuned = read_tuned(settings.data_dir, model.path) if settings.llama_server is None else None
    if tuned:
        plan = replace(tuned, drafts=tuned.drafts and file is None).apply(plan)  # with pictures nobody has tried them
    binary = Path(tuned.binary) if tuned and tuned.binary else settings.llama_server
    saved = None if file else saved_prompts(settings, model.path, plan, clock, binary)  # the server saves no pictures
    engine = ChildEngine(
        model.path,
        settings.data_dir,
        clock,
        name=model.name,
        plan=plan,
        binary=binary,
        projector=file,
        saved=saved,
    )
    try:
        await engine.start()
        return engine, await _wait_for(engine.models, "The built-in engine", clock)
    except BaseException:
        await engine.aclose()
        raise


async def _connect_url(settings: Settings, url: SplitResult, clock: Clock) -> Connected:
    key = settings.engine_key.get_secret_value() if settings.engine_key else None
    if key and url.username is not None:
        raise OperatorError("--engine names a user, and there is an engine key as well: give only one of them.")
    upstream = Upstream(url.geturl().rstrip("/").removesuffix("/v1"), key)
    where = f"The engine at {url.scheme}://{url.netloc.rpartition('@')[2]}"
    try:
        return await _wait_for(lambda: _speak(upstream, settings, where, clock), where, clock)
    except BaseException:
        await upstream.aclose()
        raise


def _url(text: str) -> SplitResult:
    try:
        url = urlsplit(text)
        if url.scheme in ("http", "https") and url.hostname and url.port != 0:
            return url
    except ValueError:
        pass
    shown = text.rpartition("@")[2]
    raise OperatorError(f"--engine takes a URL that starts with http:// or https://, or {FAKE}, not {shown!r}.")


async def _wait_for(ask: Callable[[], Awaitable[T]], who: str, clock: Clock) -> T:
    """What `ask` returns, as soon as the engine answers. Raises OperatorError if it answers what it should not."""
    is_told = False
    while True:
        try:
            return await ask()
        except ApiError as error:
            if error.kind not in (Kind.OVERLOADED, Kind.TIMEOUT):
                raise OperatorError(f"{who} does not tell of any model: load one there first.") from error
        if not is_told:
            log.warning("%s does not answer yet; waiting for it", who)
        is_told = True
        await sleep(clock, _RETRY_S)


async def _speak(upstream: Upstream, settings: Settings, where: str, clock: Clock) -> Connected:
    """The dialect that the engine knows: llama.cpp tells itself by `/props`."""
    status = await upstream.status_of("/v1/models")
    if status in (401, 403) or await upstream.status_of("/props") == 401:
        raise OperatorError(f"{where} refuses the key: set ANTIPHON_ENGINE_KEY to one that it takes.")
    if status >= 500:
        raise overloaded()
    if status != 200:
        raise OperatorError(f"{where} answers /v1/models with status {status}: is this an engine's URL?")
    is_llamacpp = await _is_llamacpp(upstream)
    num_slots = settings.slots or _DEFAULT_NUM_SLOTS
    engine = (
        LlamaCpp(upstream, clock=clock)
        if is_llamacpp
        else Plain(upstream, num_slots=num_slots, sees=settings.engine_sees)
    )
    return engine, await engine.models()


async def _is_llamacpp(upstream: Upstream) -> bool:
    try:
        props = await upstream.get_json("/props")
    except ApiError as error:
        if error.kind is not Kind.INTERNAL:
            raise
        return False
    return isinstance(props, dict) and "default_generation_settings" in props and "total_slots" in props
