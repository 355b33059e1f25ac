"""What is asked of a model: a valid request, read and counted, as an order that can be served."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import NamedTuple

from antiphon.core.scope import Principal
from antiphon.engines.catalog import Catalog, Model
from antiphon.features.keys.service import check_model
from antiphon.features.messages.books import Books, Caller
from antiphon.features.messages.caching import Caching
from antiphon.features.messages.context import Counted, edited
from antiphon.features.messages.serving import Means, Order, Placed, Serving
from antiphon.limits.headers import Headers
from antiphon.media.reading import Audience, Media
from antiphon.settings import Settings
from antiphon.telemetry.metrics import Metrics
from antiphon.turn import enforced, kinds, replay, unserved
from antiphon.turn.attachments import NO_ATTACHMENTS, Attachments
from antiphon.turn.chat import chat_of
from antiphon.turn.citations import Sources
from antiphon.turn.pieces import Sampling
from antiphon.turn.script import Script, script_of
from antiphon.turn.signature import Signer
from antiphon.wire.fields import JsonObject
from antiphon.wire.request import CompleteRequest, CountRequest, MessageRequest, PromptRequest


class Count(NamedTuple):
    """Tokens of a prompt. `num_original`: before the edits of its context management."""

    num_tokens: int
    num_original: int


class Messages:
    def __init__(
        self,
        catalog: Catalog,
        metrics: Metrics,
        books: Books,
        signing_key: bytes,
        caching: Caching,
        media: Media,
        settings: Settings,
    ) -> None:
        self._means = Means(books, metrics, caching)
        self._catalog = catalog
        self._books = books
        self._signing_key = signing_key
        self._caching = caching
        self._media = media
        self._strict = settings.strict
        self._temperature_scale = settings.temperature_scale

    async def count(self, principal: Principal, request: CountRequest) -> tuple[Count, Headers]:
        """The prompt's tokens, and the rate limit headers of the reply."""
        model = self.resolve(principal, request.model)
        request = self._caching.steady(request)
        signer = self._signer(principal)
        self._check(request, model, signer)
        headers = await self._books.count(principal, model)
        attachments = await self._attachments(principal, request, model)
        read = await edited(request, _counter(signer, model, attachments))
        return Count(read.counted.prompt.num_tokens, read.num_original), headers

    def create(self, caller: Caller, request: MessageRequest, document: JsonObject | None = None) -> Serving:
        """`document` is a schema for the whole text that is kept as far as it can be, and that nothing refuses."""
        return Serving(self._means, partial(self._placed, caller, request, document))

    def call(self, caller: Caller, model: Model, order: Order) -> Serving:
        """The same for what is no request of the Messages API."""

        async def placed() -> Placed:
            return Placed(caller, model, order)

        return Serving(self._means, placed)

    async def _placed(self, caller: Caller, request: MessageRequest, document: JsonObject | None) -> Placed:
        model = self.resolve(caller.principal, request.model)
        if request.metadata and not caller.session:
            caller = caller._replace(session=_session_of(request))
        self._books.check_spending(caller.principal)  # before its prompt is worth the engine's time
        order = await self._order(caller.principal, request, model)
        if document is not None:
            order = order._replace(script=(order.script or Script(form=model.spec.form))._replace(document=document))
        return Placed(caller, model, order)

    def resolve(self, principal: Principal, name: str) -> Model:
        """Raises 404 for a model that there is not, and 403 for one that the key may not use."""
        model = self._catalog.resolve(name)
        check_model(principal, name, model.id)
        return model

    async def _order(self, principal: Principal, request: MessageRequest, model: Model) -> Order:
        request = self._caching.steady(request)
        signer = self._signer(principal)
        self._check(request, model, signer)
        attachments = await self._attachments(principal, request, model)
        count = _counter(signer, model, attachments)
        read = await edited(request, count)
        return Order(
            read.counted.chat,
            self.sampling_of(request),
            request.max_tokens,
            request.stop_sequences or (),
            bool(request.stream),
            _script(signer, request, model, read.counted.chat.sources),
            read.counted.prompt,
            read.applied,
            await self._caching.look(principal.scope.workspace_id, model, read.request, read.counted, count),
        )

    def _check(self, request: MessageRequest | CountRequest, model: Model, signer: Signer) -> None:
        """Raises 400 for what only this server, its model, or its own keys can find wrong."""
        unserved.check(request)
        if self._strict:
            kinds.check(request, model.spec.thinking, model.id)
        enforced.check(request)
        replay.check(request, signer)

    def sampling_of(self, request: MessageRequest | CompleteRequest) -> Sampling:
        """Temperature is passed on as it is, unless the operator wants it lower (decision 0005)."""
        temperature = 1.0 if request.temperature is None else request.temperature
        return Sampling(
            temperature * self._temperature_scale, request.top_p, min(request.top_k or 0, _MAX_TOP_K) or None
        )

    async def _attachments(self, principal: Principal, request: PromptRequest, model: Model) -> Attachments:
        """What the pictures and documents turn out to be. Raises 400 for what cannot be read."""
        if not request.places:
            return NO_ATTACHMENTS
        audience = Audience(model.id, model.spec.window, model.spec.sees)
        return await self._media.read(principal.scope, request.places, audience)

    def _signer(self, principal: Principal) -> Signer:
        return Signer(self._signing_key, principal.scope.workspace_id)


def _counter(
    signer: Signer, model: Model, attachments: Attachments
) -> Callable[[MessageRequest | CountRequest], Awaitable[Counted]]:
    async def count(request: MessageRequest | CountRequest) -> Counted:
        chat = chat_of(request, signer, attachments)
        return Counted(chat, await model.engine.prepare(model.id, chat))

    return count


def _script(signer: Signer, request: MessageRequest, model: Model, sources: Sources) -> Script | None:
    return script_of(request, model.spec.form, signer, thinks=model.spec.thinks, sources=sources)


def _session_of(request: MessageRequest) -> str:
    """What clients that send no header put their conversation into."""
    return (request.metadata and request.metadata.user_id) or ""


_MAX_TOP_K = 2**31 - 1
"""More than any vocabulary has, and what engines can still hold."""
