"""The only place that wires the parts of a server together."""

import os
from contextlib import suppress
from typing import NamedTuple

from pydantic import SecretStr
from starlette.routing import Route

from antiphon.core.clock import Clock, SystemClock, sleep
from antiphon.core.errors import ApiError, OperatorError
from antiphon.core.tasks import TaskGroup
from antiphon.engines.catalog import Catalog, Model
from antiphon.engines.child import ChildEngine
from antiphon.engines.connect import connect
from antiphon.engines.pool import Pool
from antiphon.engines.protocol import Engine
from antiphon.engines.saved import SavedPrompts
from antiphon.facades import aws, complete, google, health, openapi, vertex
from antiphon.facades.bedrock import routes as bedrock_routes
from antiphon.facades.openai import routes as openai_routes
from antiphon.features.audits import routes as audits_routes
from antiphon.features.audits.service import Audit
from antiphon.features.batches import routes as batches_routes
from antiphon.features.batches.service import Batches
from antiphon.features.files import routes as files_routes
from antiphon.features.files.service import Files
from antiphon.features.keys import routes as keys_routes
from antiphon.features.keys.service import Keys
from antiphon.features.members import routes as members_routes
from antiphon.features.messages import routes as messages_routes
from antiphon.features.messages.books import Books
from antiphon.features.messages.caching import Caching
from antiphon.features.messages.service import Messages
from antiphon.features.models import routes as models_routes
from antiphon.features.rates import routes as rates_routes
from antiphon.features.rates.policy import Policy
from antiphon.features.rates.service import Rates
from antiphon.features.rates.spends import SpendLimits
from antiphon.features.usage import routes as usage_routes
from antiphon.features.usage.service import Reports
from antiphon.features.workspaces import routes as workspaces_routes
from antiphon.features.workspaces.service import Workspaces
from antiphon.ledger.keeper import Keeper
from antiphon.ledger.price import Prices
from antiphon.limits.memory import MemoryLimits
from antiphon.limits.spend import Spending, month_of
from antiphon.media.addresses import rules_of
from antiphon.media.fetch import Fetcher
from antiphon.media.files import FileReader
from antiphon.media.load import Loader
from antiphon.media.ocr import Ocr
from antiphon.media.pdfs import Pdfs
from antiphon.media.pictures import Pictures
from antiphon.media.reading import Media
from antiphon.media.sandbox import OCR_LIMITS, Limits, Sandbox
from antiphon.settings import Settings
from antiphon.store.accounts import Accounts
from antiphon.store.blobfolder import BlobFolder
from antiphon.store.db import Database, url_of
from antiphon.store.directory import Directory
from antiphon.store.first import FirstKeys, OperatorKeys, open_store
from antiphon.store.secret import open_secret, read_old_file
from antiphon.store.served import Served, tell_served
from antiphon.telemetry import names
from antiphon.telemetry.exporter import Exporter, export
from antiphon.telemetry.metrics import Metrics
from antiphon.telemetry.requests import RequestLog
from antiphon.telemetry.tracing import open_tracer
from antiphon.web.call import Shared
from antiphon.web.door import Door
from antiphon.web.identity import Identities
from antiphon.worker.chats import announce_chats
from antiphon.worker.loop import Worker

_SPENDING_EVERY_S = 30.0
_MAX_READING = 256
_MAX_READING_WAIT_S = 30.0
"""Pictures and pages that may wait to be read, and how long."""


class App:
    """A server's parts. `door` is the ASGI application: it may be called after `open`, and has models after `start`."""

    def __init__(self, settings: Settings, clock: Clock, engine: Engine | None) -> None:
        self.settings = settings
        self.tasks = TaskGroup()
        self.catalog = Catalog(settings.aliases)
        self._clock = clock
        self._engine = engine
        self._metrics = Metrics()
        self._tracer = open_tracer(settings.otel_endpoint)
        self._exporter: Exporter | None = None
        self._request_log = RequestLog(settings.data_dir / "logs")
        self._operator_keys = OperatorKeys(_clear(settings.api_key), _clear(settings.admin_key))
        self._secret = open_secret(settings.data_dir, _clear(settings.secret_key))
        self.database = Database(url_of(settings.data_dir, _clear(settings.database_url)))
        environment = self._operator_keys.digests(self._secret)
        self.directory = Directory(self.database, self._secret.pepper, clock, environment)
        self.accounts = Accounts(self.database, self.directory, clock)
        self.keeper = Keeper(self.database, settings.data_dir / "journal", Prices(settings.prices), clock)
        blobs = BlobFolder(settings.files_folder)
        self.files = Files(self.database, blobs, clock, settings.max_files_bytes)
        policy = Policy(self.directory, settings.rate_limits)
        self._spending = Spending(clock, self._metrics.count_limit)
        self._books = Books(policy, MemoryLimits(clock, self._metrics.count_limit), self._spending, self.keeper)
        self.media = open_media(settings, clock, self.files)
        identities = Identities(settings.identity_tokens) if settings.identity_tokens else None
        shared = Shared(settings, clock, self.tasks, self.directory, live=set(), identities=identities)
        messages = self._messages()
        self.worker = Worker(
            self.database,
            messages,
            self.keeper,
            self.catalog,
            clock,
            self._metrics,
            lease_s=settings.batch_lease_s,
            strict=settings.strict,
        )
        self.batches = Batches(self.database, clock, self.worker.wake)
        self.door = Door(shared, self._routes(messages), self._metrics, self._request_log, self._tracer)
        self._watch()

    def _messages(self) -> Messages:
        caching = Caching(
            self._clock,
            min_tokens=self.settings.cache_min_tokens,
            tells_all=self.settings.cache_tells_all,
            is_steady=self.settings.steady_prompts,
        )
        signing_key = self._secret.derive("thinking")
        return Messages(
            self.catalog,
            self._metrics,
            self._books,
            signing_key,
            caching,
            self.media.reads,
            self.settings,
        )

    def _routes(self, messages: Messages) -> list[Route]:
        return [
            *messages_routes.routes(messages),
            *batches_routes.routes(self.batches),
            *openai_routes.routes(messages, self.catalog, models_routes.routes(self.catalog)),
            *files_routes.routes(self.files),
            *keys_routes.routes(Keys(self.accounts, self._secret.pepper, self._clock)),
            *workspaces_routes.routes(Workspaces(self.accounts)),
            *members_routes.routes(self.accounts),
            *rates_routes.routes(Rates(self.accounts, self.catalog, self.settings), SpendLimits(self.accounts)),
            *audits_routes.routes(Audit(self.database)),
            *usage_routes.routes(Reports(self.database, self._clock)),
            *complete.routes(messages),
            *bedrock_routes.routes(messages, self.catalog),
            *aws.routes(messages_routes.routes(messages)),
            *vertex.routes(messages),
            *google.routes([*messages_routes.routes(messages), *models_routes.routes(self.catalog)]),
            *health.routes(self.is_ready, self._metrics),
            *openapi.routes(),
        ]

    def _watch(self) -> None:
        """What the metrics ask the server's parts for when somebody looks."""
        watch = self._metrics.watch
        watch(names.OPEN_CALLS, lambda: self.door.num_open)
        watch(names.QUEUE_WAITING, lambda: sum(pool.num_waiting for pool in self._pools()))
        watch(names.QUEUE_REFUSED, lambda: sum(pool.num_refused for pool in self._pools()))
        watch(names.SLOTS, lambda: sum(pool.num_slots for pool in self._pools()))
        watch(names.SLOTS_IN_USE, lambda: sum(pool.num_slots - pool.num_free for pool in self._pools()))
        watch(names.ENGINE_UP, self._is_engine_up)
        watch(names.ENGINE_RESTARTS, lambda: child.num_restarts if (child := self._child()) else 0)
        watch(names.PROMPT_UNREAD, lambda: child.num_unread if (child := self._child()) else 0)
        watch(names.KV_ENTRIES, lambda: saved.num_entries if (saved := self._saved()) else 0)
        watch(names.KV_BYTES, lambda: saved.num_bytes if (saved := self._saved()) else 0)
        watch(names.KV_SAVED, lambda: saved.num_saved if (saved := self._saved()) else 0)
        watch(names.KV_RESTORED, lambda: saved.num_restored if (saved := self._saved()) else 0)
        watch(names.DATABASE_FAILURES, lambda: self.database.num_failures)
        watch(names.LEDGER_PENDING, lambda: self.keeper.num_pending)
        watch(names.BATCH_ITEMS_RUNNING, lambda: self.worker.num_running)
        watch(names.LOG_FAILURES, lambda: self._request_log.num_failures)

    def _is_chat_to_tell(self) -> bool:
        """Whether somebody chats and workers of other processes may have something to do."""
        return not self._is_quiet() and (self.worker.has_batches or not self.settings.batch_worker)

    def _is_quiet(self) -> bool:
        return all(pool.is_quiet for pool in self._pools())

    def _pools(self) -> set[Pool]:
        return {model.pool for model in self.catalog.models}

    def _child(self) -> ChildEngine | None:
        return self._engine if isinstance(self._engine, ChildEngine) else None

    def _saved(self) -> SavedPrompts | None:
        return child.saved if (child := self._child()) else None

    def _is_engine_up(self) -> bool:
        """An engine that somebody else runs counts as up once it has told its models."""
        child = self._child()
        return bool(self.catalog.models) and (child is None or child.pid is not None)

    @property
    def metrics_port(self) -> int | None:
        """The port that serves only the metrics, if there is one."""
        return self._exporter.port if self._exporter else None

    def is_ready(self) -> bool:
        return bool(self.catalog.models) and not self.door.is_draining

    async def open(self) -> FirstKeys | None:
        """Open the database; the keys of a first start. Raises OperatorError."""
        port = self.settings.metrics_port
        if port is not None:  # what can fail comes first: no key is made then that nobody would see
            self._exporter = await export(self._metrics, self.settings.host, port, self._clock)
        self.keeper.begin_journal()
        old = read_old_file(self.settings.data_dir)
        first = await open_store(self.database, self._secret, old, self._operator_keys, self._clock)
        with suppress(ApiError):  # the first keys must be shown; whoever calls asks again
            await self.directory.refresh()
        self.tasks.spawn(self._follow_spending(), "spending")
        self.tasks.spawn(self.directory.follow(), "directory")
        self.tasks.spawn(self.keeper.run(), "ledger")
        self.tasks.spawn(self.files.run(), "files")
        return first

    async def _open_books(self) -> None:
        await self.keeper.open()
        try:
            await self._load_spending()
        except (ApiError, OSError) as error:
            raise OperatorError("What has been spent cannot be read: the error above says why.") from error

    async def _load_spending(self) -> None:
        now = self._clock.now()
        self._spending.load(month_of(now), await self.keeper.spent(now))

    async def _follow_spending(self) -> None:
        """Other servers spend from the same budgets."""
        while True:
            await sleep(self._clock, _SPENDING_EVERY_S)
            with suppress(ApiError, OSError):  # told by the database; the next time is soon
                await self._load_spending()

    async def start(self) -> None:
        """Take up the books, connect the engine and learn its models.

        Waits for an engine that is away. Raises OperatorError for one that cannot work, and for such a database.
        """
        await self._open_books()
        if self._engine:
            specs = await self._engine.models()
        else:
            self._engine, specs = await connect(self.settings, self._clock)
        pool = self._pool(self.settings.slots or specs[0].num_slots)
        self.catalog.load([Model(spec, self._engine, pool, spec.name) for spec in specs])
        self.tasks.spawn(announce_chats(self.database, self._clock, self.worker.id, self._is_chat_to_tell), "chats")
        if self.settings.batch_worker:
            self.worker.start()
        await tell_served(self.database, Served.of([model.label for model in self.catalog.models], self.settings))

    def _pool(self, num_slots: int) -> Pool:
        return Pool(num_slots, self.settings.max_waiting, self.settings.max_wait_s, self._clock)

    async def aclose(self) -> None:
        if self._exporter:
            self._exporter.close()
        if self._tracer:
            await self._tracer.aclose()
        await self.worker.aclose()
        if self._engine:
            await self._engine.aclose()
        await self.media.aclose()
        await self.tasks.aclose()
        await self.keeper.aclose()
        await self.database.aclose()
        self._request_log.close()


class OpenMedia(NamedTuple):
    """What reads pictures and documents, and the children that it has."""

    reads: Media
    sandboxes: tuple[Sandbox, Sandbox]

    async def aclose(self) -> None:
        for sandbox in self.sandboxes:
            await sandbox.aclose()


def open_media(settings: Settings, clock: Clock, files: FileReader) -> OpenMedia:
    """Nothing is started before somebody sends a picture."""
    num_children = max(1, (os.cpu_count() or 1) // 2)
    gates = [Pool(num_children, _MAX_READING, _MAX_READING_WAIT_S, clock) for _ in range(2)]
    sandboxes = Sandbox(gates[0], Limits()), Sandbox(gates[1], OCR_LIMITS)
    ocr = Ocr(sandboxes[1])
    asks = settings.fetch
    loader = Loader(files, Fetcher(rules_of(asks.allow, asks.deny, is_private_open=asks.private)))
    pictures, pdfs = Pictures(sandboxes[0]), Pdfs(sandboxes[0], ocr)
    reads = Media(loader, pictures, pdfs, ocr, describes=settings.vision == "describe")
    return OpenMedia(reads, sandboxes)


def create_app(settings: Settings, *, clock: Clock | None = None, engine: Engine | None = None) -> App:
    """Everything that `settings` ask for, wired. `engine` stands in for the one that they name."""
    return App(settings, clock or SystemClock(), engine)


def _clear(value: SecretStr | None) -> str | None:
    return value.get_secret_value() if value else None
