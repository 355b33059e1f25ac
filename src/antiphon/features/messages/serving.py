"""One call under way: its slot, its books and its events, from a valid order to the last frame."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from types import TracebackType
from typing import NamedTuple

from antiphon.core.errors import ApiError, invalid
from antiphon.core.ids import new_id
from antiphon.engines.catalog import Model
from antiphon.features.messages.books import Account, Books, Caller
from antiphon.features.messages.caching import Cached, Caching
from antiphon.features.messages.rounds import Task, play
from antiphon.features.messages.servertools import ServerTools
from antiphon.features.messages.toolsearch import searches
from antiphon.limits.headers import Headers
from antiphon.telemetry.metrics import Metrics, Timing
from antiphon.turn.assemble import Assembler, Plan
from antiphon.turn.chat import Chat
from antiphon.turn.pieces import ForcedCall, Prompt, Sampling, Wish
from antiphon.turn.script import Script, document_grammar, forced_grammar, opening_of
from antiphon.wire.events import Event, Usage
from antiphon.wire.fields import JsonObject


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


class Means(NamedTuple):
    """What every call is served with."""

    books: Books
    metrics: Metrics
    caching: Caching


class Serving:
    """`async with Serving(...) as reply`: a slot is held for the block, and leaving it drops the work.

    `place` says what is asked, of which model, and for whom. Every 4xx and 529 is raised before the block begins. A
    class, because a generator would cost a small call more than its limits do.
    """

    def __init__(self, means: Means, place: Callable[[], Awaitable[Placed]]) -> None:
        self._books, self._metrics, self._caching = means
        self._place = place

    async def __aenter__(self) -> Reply:
        self._placed = caller, model, order = await self._place()
        timing = Timing(self._books.keeper.clock)
        _check_output(model, order)
        prompt = order.prompt or await model.engine.prepare(model.id, order.chat)
        plan = _plan(model, prompt, order, caller)
        account = await self._books.open(caller, model, prompt.num_tokens, plan.kept.num_expected)
        try:
            await _acquire(model, caller, account)
        except BaseException:
            await account.close()
            raise
        try:
            account.begin(plan.message_id)
            return self._begin(prompt, plan, account, timing)
        except BaseException:
            await self._let_go(account)
            raise

    def _begin(self, prompt: Prompt, plan: Plan, account: Account, timing: Timing) -> Reply:
        caller, model, order = self._placed
        self._timing, self._wish = timing, _wish(order, plan, caller)
        assembler = Assembler(plan)
        meter = _meter(assembler, account, timing, lambda: self._keep(plan))
        task = Task(model, order.chat, prompt, plan, self._wish)
        self._events = play(task, assembler, _tools_of(plan), meter)
        self._reply = Reply(model.id, self._events, assembler, account)
        return self._reply

    def _keep(self, plan: Plan) -> None:
        caller, _, order = self._placed
        if caller.background:
            caller.background.note_computed()
        self._caching.keep(caller.principal.scope.workspace_id, plan.message_id, order.cached)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        account, assembler = self._reply.account, self._reply.assembler
        usage = assembler.usage
        try:
            if isinstance(error, ApiError):
                account.end(usage, "failed", assembler.num_output)
            await self._events.aclose()
        finally:
            account.end(usage, "left", assembler.num_output)
            self._count(usage, assembler)
            await self._let_go(account)

    def _count(self, usage: Usage, assembler: Assembler) -> None:
        label = self._placed.model.label
        self._metrics.count_tokens(label, usage)
        self._metrics.count_lost(label, assembler.num_lost)
        if not self._wish.is_awaited_whole:
            self._metrics.count_pace(label, self._timing, assembler.num_output)

    async def _let_go(self, account: Account) -> None:
        try:
            _release(self._placed.model, self._placed.caller)
        finally:
            await account.close()


_NO_TOOLS = ServerTools({})


def _tools_of(plan: Plan) -> ServerTools:
    return ServerTools(searches(plan.script.offer.deferred)) if plan.script else _NO_TOOLS


def _meter(assembler: Assembler, account: Account, timing: Timing, keep: Callable[[], None]) -> Callable[[], None]:
    """To be called for each burst, before it goes out: the call is in the books before the last one.

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
        is_one_of_many=caller.background is not None,
        num_waiting=caller.background.num_waiting if caller.background else 0,
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
