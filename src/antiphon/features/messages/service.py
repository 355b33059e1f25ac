"""One call of a model, from a valid request to its events."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from typing import NamedTuple

from antiphon.core.errors import ApiError, invalid
from antiphon.core.ids import new_id
from antiphon.core.scope import Principal
from antiphon.engines.catalog import Catalog, Model
from antiphon.features.keys.service import check_model
from antiphon.features.messages.books import Account, Books, Caller
from antiphon.features.messages.caching import Cached, Caching
from antiphon.features.messages.context import Counted, edited
from antiphon.features.messages.rounds import Task, play
from antiphon.features.messages.servertools import ServerTools
from antiphon.features.messages.toolsearch import searches
from antiphon.limits.headers import Headers
from antiphon.media.reading import Audience, Media
from antiphon.telemetry.metrics import Metrics, Timing
from antiphon.turn import enforced, replay, unserved
from antiphon.turn.assemble import Assembler, Plan
from antiphon.turn.attachments import Attachments
from antiphon.turn.chat import Chat, chat_of
from antiphon.turn.citations import Sources
from antiphon.turn.pieces import ForcedCall, Prompt, Sampling, Wish
from antiphon.turn.script import Script, document_grammar, forced_grammar, opening_of, script_of
from antiphon.turn.signature import Signer
from antiphon.wire.events import Event, Usage
from antiphon.wire.fields import JsonObject
from antiphon.wire.request import CompleteRequest, CountRequest, MessageRequest, PromptRequest


class Order(NamedTuple):
    """What a model is asked for, whichever door the request came through."""

    chat: Chat
    sampling: Sampling
    max_tokens: int
    stop_sequences: Sequence[str]
    is_streamed: bool
    script: Script | None = None
    prompt: Prompt | None = None
    """The chat, if it is prepared already."""
    applied_edits: Sequence[JsonObject] | None = None
    cached: Cached = Cached()


class Placed(NamedTuple):
    caller: Caller
    model: Model
    order: Order


class Count(NamedTuple):
    """Tokens of a prompt. `num_original`: before the edits of its context management."""

    num_tokens: int
    num_original: int


class Reply(NamedTuple):
    """A reply under way: no status can change any more. `events` yields bursts; `usage` tells where it stands."""

    model: str
    events: AsyncIterator[list[Event]]
    assembler: Assembler
    account: Account

    @property
    def usage(self) -> Usage:
        return self.assembler.usage

    @property
    def headers(self) -> Headers:
        """The rate limit headers of the reply, as they are now."""
        return self.account.headers


class Messages:
    def __init__(
        self, catalog: Catalog, metrics: Metrics, books: Books, signing_key: bytes, caching: Caching, media: Media
    ) -> None:
        self._catalog = catalog
        self._metrics = metrics
        self._books = books
        self._signing_key = signing_key
        self._caching = caching
        self._media = media

    async def count(self, principal: Principal, request: CountRequest) -> tuple[Count, Headers]:
        """The prompt's tokens, and the rate limit headers of the reply."""
        model = self.resolve(principal, request.model)
        request = self._caching.steady(request)
        self._check(principal, request)
        headers = await self._books.count(principal, model)
        attachments = await self._attachments(principal, request, model)
        read = await edited(request, self._counter(principal, model, attachments))
        return Count(read.counted.prompt.num_tokens, read.num_original), headers

    def create(
        self, caller: Caller, request: MessageRequest, document: JsonObject | None = None
    ) -> AbstractAsyncContextManager[Reply]:
        """`document` is a schema for the whole text that is kept as far as it can be, and that nothing refuses."""
        return self._hold(partial(self._placed, caller, request, document))

    def call(self, caller: Caller, model: Model, order: Order) -> AbstractAsyncContextManager[Reply]:
        """The same for what is no request of the Messages API."""

        async def placed() -> Placed:
            return Placed(caller, model, order)

        return self._hold(placed)

    async def _placed(self, caller: Caller, request: MessageRequest, document: JsonObject | None) -> Placed:
        model = self.resolve(caller.principal, request.model)
        if request.metadata and not caller.session:
            caller = caller._replace(session=_session_of(request))
        self._books.check_spending(caller.principal)  # before its prompt is worth the engine's time
        order = await self._order(caller.principal, request, model)
        if document is not None:
            order = order._replace(script=(order.script or Script(form=model.spec.form))._replace(document=document))
        return Placed(caller, model, order)

    @asynccontextmanager
    async def _hold(self, place: Callable[[], Awaitable[Placed]]) -> AsyncGenerator[Reply, None]:
        """Hold a slot for the block. Every 4xx and 529 is raised before it begins; leaving it drops the work."""
        caller, model, order = await place()
        timing = Timing(self._books.keeper.clock)
        _check_output(model, order)
        prompt = order.prompt or await model.engine.prepare(model.id, order.chat)
        plan = _plan(model, prompt, order, caller)
        account = await self._books.open(caller, model, prompt.num_tokens, plan.kept.num_expected)
        try:
            await _acquire(model, caller, account)
            try:
                account.begin(plan.message_id)
                wish = _wish(order, plan, caller)
                task = Task(model, order.chat, prompt, plan, wish)
                assembler = Assembler(plan)
                meter = _meter(assembler, account, timing, lambda: self._keep(caller, plan, order.cached))
                events = play(task, assembler, _tools_of(plan), meter)
                try:
                    yield Reply(model.id, events, assembler, account)
                except ApiError:
                    account.end(assembler.usage, "failed", assembler.num_output)
                    raise
                finally:
                    await self._end(task, events, assembler, account, timing)
            finally:
                _release(model, caller)
        finally:
            await account.close()

    async def _end(
        self,
        task: Task,
        events: AsyncGenerator[list[Event], None],
        assembler: Assembler,
        account: Account,
        timing: Timing,
    ) -> None:
        usage = assembler.usage
        try:
            await events.aclose()
        finally:
            account.end(usage, "left", assembler.num_output)
            self._metrics.count_tokens(task.model.label, usage)
            self._metrics.count_lost(task.model.label, assembler.num_lost)
            if not task.wish.is_awaited_whole:
                self._metrics.count_pace(task.model.label, timing, assembler.num_output)

    def _keep(self, caller: Caller, plan: Plan, cached: Cached) -> None:
        if caller.background:
            caller.background.note_computed()
        self._caching.keep(caller.principal.scope.workspace_id, plan.message_id, cached)

    def resolve(self, principal: Principal, name: str) -> Model:
        """Raises 404 for a model that there is not, and 403 for one that the key may not use."""
        model = self._catalog.resolve(name)
        check_model(principal, name, model.id)
        return model

    async def _order(self, principal: Principal, request: MessageRequest, model: Model) -> Order:
        request = self._caching.steady(request)
        self._check(principal, request)
        attachments = await self._attachments(principal, request, model)
        count = self._counter(principal, model, attachments)
        read = await edited(request, count)
        return Order(
            read.counted.chat,
            sampling_of(request),
            request.max_tokens,
            request.stop_sequences or (),
            bool(request.stream),
            self._script(principal, request, model, read.counted.chat.sources),
            read.counted.prompt,
            read.applied,
            await self._caching.look(principal.scope.workspace_id, model, read.request, read.counted, count),
        )

    def _script(self, principal: Principal, request: MessageRequest, model: Model, sources: Sources) -> Script | None:
        thinks = model.spec.accepts_thinking
        return script_of(request, model.spec.form, self._signer(principal), thinks=thinks, sources=sources)

    def _check(self, principal: Principal, request: MessageRequest | CountRequest) -> None:
        """Raises 400 for what only this server, or only its own keys, can find wrong."""
        unserved.check(request)
        enforced.check(request)
        replay.check(request, self._signer(principal))

    async def _attachments(self, principal: Principal, request: PromptRequest, model: Model) -> Attachments:
        """What the pictures and documents turn out to be. Raises 400 for what cannot be read."""
        audience = Audience(model.id, model.spec.window, model.spec.sees)
        return await self._media.read(principal.scope, request.places, audience)

    def _counter(
        self, principal: Principal, model: Model, attachments: Attachments
    ) -> Callable[[MessageRequest | CountRequest], Awaitable[Counted]]:
        signer = self._signer(principal)

        async def count(request: MessageRequest | CountRequest) -> Counted:
            chat = chat_of(request, signer, attachments)
            return Counted(chat, await model.engine.prepare(model.id, chat))

        return count

    def _signer(self, principal: Principal) -> Signer:
        return Signer(self._signing_key, principal.scope.workspace_id)


def _session_of(request: MessageRequest) -> str:
    """What clients that send no header put their conversation into."""
    return (request.metadata and request.metadata.user_id) or ""


def _tools_of(plan: Plan) -> ServerTools:
    return ServerTools(searches(plan.script.offer.deferred if plan.script else ()))


def _meter(assembler: Assembler, account: Account, timing: Timing, keep: Callable[[], None]) -> Callable[[], None]:
    """To be called before each burst goes out: the call is in the books before the last one.

    `keep` is called once, when the prompt is computed.
    """
    is_kept = False

    def meter() -> None:
        nonlocal is_kept
        if assembler.is_computed and not is_kept:
            is_kept = True
            keep()
        if num_output := assembler.num_output:
            account.note(num_output)
            timing.note_output()
        if assembler.is_done:
            account.end(assembler.usage, "done", num_output)

    return meter


async def _acquire(model: Model, caller: Caller, account: Account) -> None:
    """A slot; the refusal of a full queue tells the caller's limits too."""
    if caller.background:
        await model.pool.join(caller.background)
        return
    try:
        await model.pool.acquire(caller.principal.scope.workspace_id)
    except ApiError as error:
        limits = {name.decode(): value.decode() for name, value in account.headers}
        error.headers = {**limits, **error.headers}
        raise


def _release(model: Model, caller: Caller) -> None:
    if caller.background:
        model.pool.leave(caller.background)
    else:
        model.pool.release()


_MAX_TOP_K = 2**31 - 1
"""More than any vocabulary has, and what engines can still hold."""


def sampling_of(request: MessageRequest | CompleteRequest) -> Sampling:
    """Temperature is passed on as it is (decision 0005)."""
    temperature = 1.0 if request.temperature is None else request.temperature
    return Sampling(temperature, request.top_p, min(request.top_k or 0, _MAX_TOP_K) or None)


def _wish(order: Order, plan: Plan, caller: Caller) -> Wish:
    """What is looked for in the text is ours to find, so every token has to be seen as it comes."""
    is_read = order.is_streamed or bool(order.stop_sequences)
    wish = Wish(
        plan.max_output,
        order.sampling,
        is_awaited_whole=not is_read,
        salt=caller.principal.scope.workspace_id,
        session=caller.session,
        keep=order.cached.keep,
    )
    if (script := plan.script) is None:
        return wish
    opening = opening_of(script.offer, script.form)
    wish = wish._replace(is_awaited_whole=False, opening=opening, is_opening_counted=True)
    if script.offer.forced:
        name = next(iter(script.offer.callable)) if script.offer.forced == "tool" else None
        return wish._replace(grammar=forced_grammar(script.offer, script.form), forced=ForcedCall(name))
    if script.document is not None and script.is_document:
        return wish._replace(grammar=document_grammar(script.document))
    return wish


def _check_output(model: Model, order: Order) -> None:
    if order.max_tokens > model.max_output:
        raise invalid(
            f"max_tokens: {order.max_tokens} > {model.max_output}, "
            f"which is the maximum allowed number of output tokens for {model.id}"
        )


def _plan(model: Model, prompt: Prompt, order: Order, caller: Caller) -> Plan:
    """Raises `prompt is too long`. An engine whose count is an estimate is left to judge for itself."""
    window, max_output = model.spec.window, order.max_tokens
    if prompt.is_exact:
        if prompt.num_tokens > window:
            raise invalid(f"prompt is too long: {prompt.num_tokens} tokens > {window} maximum")
        max_output = min(max_output, window - prompt.num_tokens)
    has_room = not prompt.is_exact or prompt.num_tokens < window
    script = order.script._replace(is_thinking=prompt.is_thinking) if order.script else None
    return Plan(
        new_id("msg"),
        model.id,
        prompt.num_tokens,
        order.max_tokens,
        max_output,
        order.stop_sequences,
        has_room,
        script,
        order.applied_edits,
        order.cached.kept,
        order.cached.diagnostics,
        caller.service_tier,
    )
