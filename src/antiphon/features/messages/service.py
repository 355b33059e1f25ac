"""One call of a model, from a valid request to its events."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, aclosing, asynccontextmanager
from typing import NamedTuple

from antiphon.core.errors import invalid
from antiphon.core.ids import new_id
from antiphon.core.scope import Principal
from antiphon.engines.catalog import Catalog, Model
from antiphon.telemetry.metrics import Metrics
from antiphon.turn import unserved
from antiphon.turn.assemble import Assembler, Plan
from antiphon.turn.chat import Chat, chat_of
from antiphon.turn.pieces import Prompt, Sampling, Wish
from antiphon.wire.events import Event, Usage
from antiphon.wire.request import CompleteRequest, CountRequest, MessageRequest


class Order(NamedTuple):
    """What a model is asked for, whichever door the request came through."""

    chat: Chat
    sampling: Sampling
    max_tokens: int
    stop_sequences: Sequence[str]
    is_streamed: bool


class Reply(NamedTuple):
    """A reply under way: no status can change any more. `events` yields bursts; `usage` tells where it stands."""

    model: str
    events: AsyncIterator[list[Event]]
    assembler: Assembler

    @property
    def usage(self) -> Usage:
        return self.assembler.usage


class Messages:
    def __init__(self, catalog: Catalog, metrics: Metrics) -> None:
        self._catalog = catalog
        self._metrics = metrics

    async def count(self, request: CountRequest) -> int:
        model = self._catalog.resolve(request.model)
        unserved.check(request, accepts_thinking=model.spec.accepts_thinking)
        prompt = await model.engine.prepare(model.id, chat_of(request))
        return prompt.num_tokens

    def create(self, principal: Principal, request: MessageRequest) -> AbstractAsyncContextManager[Reply]:
        model = self._catalog.resolve(request.model)
        return self.call(principal, model, order_of(request, model))

    @asynccontextmanager
    async def call(self, principal: Principal, model: Model, order: Order) -> AsyncGenerator[Reply, None]:
        """Hold a slot for the block. Every 4xx and 529 is raised before it begins; leaving it drops the work."""
        _check_output(model, order)
        prompt = await model.engine.prepare(model.id, order.chat)
        plan = _plan(model, prompt, order)
        await model.pool.acquire(principal.scope.workspace_id)
        assembler = Assembler(plan)
        events = _events(model, prompt, plan, _wish(order, plan), assembler)
        try:
            yield Reply(model.id, events, assembler)
        finally:
            try:
                await events.aclose()
            finally:
                model.pool.release()
                self._metrics.count_tokens(model.label, assembler.usage)


async def _events(
    model: Model, prompt: Prompt, plan: Plan, wish: Wish, assembler: Assembler
) -> AsyncGenerator[list[Event], None]:
    yield assembler.start()
    if not plan.has_room:
        yield assembler.feed_nothing()
        return
    async with aclosing(model.engine.generate(model.id, prompt, wish)) as bursts:
        async for pieces in bursts:
            if events := assembler.feed(pieces):
                yield events
            if assembler.is_done:
                return
    assembler.check_done()


def order_of(request: MessageRequest, model: Model) -> Order:
    unserved.check(request, accepts_thinking=model.spec.accepts_thinking)
    return Order(
        chat_of(request), sampling_of(request), request.max_tokens, request.stop_sequences or (), bool(request.stream)
    )


_MAX_TOP_K = 2**31 - 1
"""More than any vocabulary has, and what engines can still hold."""


def sampling_of(request: MessageRequest | CompleteRequest) -> Sampling:
    """Temperature is passed on as it is (decision 0005)."""
    temperature = 1.0 if request.temperature is None else request.temperature
    return Sampling(temperature, request.top_p, min(request.top_k or 0, _MAX_TOP_K) or None)


def _wish(order: Order, plan: Plan) -> Wish:
    """Stop sequences are ours to find, so with them every token has to be seen as it comes."""
    return Wish(plan.max_output, order.sampling, is_awaited_whole=not (order.is_streamed or order.stop_sequences))


def _check_output(model: Model, order: Order) -> None:
    if order.max_tokens > model.max_output:
        raise invalid(
            f"max_tokens: {order.max_tokens} > {model.max_output}, "
            f"which is the maximum allowed number of output tokens for {model.id}"
        )


def _plan(model: Model, prompt: Prompt, order: Order) -> Plan:
    """Raises `prompt is too long`. An engine whose count is an estimate is left to judge for itself."""
    window, max_output = model.spec.window, order.max_tokens
    if prompt.is_exact:
        if prompt.num_tokens > window:
            raise invalid(f"prompt is too long: {prompt.num_tokens} tokens > {window} maximum")
        max_output = min(max_output, window - prompt.num_tokens)
    has_room = not prompt.is_exact or prompt.num_tokens < window
    stops = order.stop_sequences
    return Plan(new_id("msg"), model.id, prompt.num_tokens, order.max_tokens, max_output, stops, has_room)
