"""Every setting of the server: from flags, then `ANTIPHON_*` variables, then a TOML file."""

import tomllib
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)

from antiphon.core.errors import OperatorError


def default_data_dir() -> Path:
    return Path.home() / ".local" / "share" / "antiphon"


class RateLimits(BaseModel):
    """The organization's limits for each model; the defaults are more than one machine can do."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    requests_per_minute: int = Field(default=1_000_000, ge=0, description="Requests a minute.")
    input_tokens_per_minute: int = Field(
        default=1_000_000_000, ge=0, description="Prompt tokens a minute; what a cache had does not count."
    )
    output_tokens_per_minute: int = Field(default=1_000_000_000, ge=0, description="Tokens written a minute.")
    concurrent_requests: int = Field(default=100_000, ge=0, description="Requests at once.")


_Dollars = Annotated[Decimal, Field(ge=0, le=10_000, decimal_places=9)]
_Factor = Annotated[Decimal, Field(ge=0, le=100, decimal_places=9)]


class Price(BaseModel):
    """Dollars for a million tokens of a model, and what the other kinds of input cost of them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: _Dollars = Field(description="Dollars for a million tokens of the prompt.")
    output: _Dollars = Field(description="Dollars for a million tokens written.")
    batch_discount: Annotated[Decimal, Field(ge=0, le=1, decimal_places=9)] = Field(
        default=Decimal("0.5"), description="The part of the price that a batch is spared."
    )
    cache_write_5m: _Factor = Field(default=Decimal("1.25"), description="Of the price of input.")
    cache_write_1h: _Factor = Field(default=Decimal(2), description="Of the price of input.")
    cache_read: _Factor = Field(default=Decimal("0.1"), description="Of the price of input.")


class IdentityTokens(BaseModel):
    """Tokens that Google, or another issuer, has signed, taken in place of a key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keys: Path = Field(description="A file with the issuer's public keys, as a JSON Web Key Set.")
    audience: str = Field(min_length=1, description="Whom the tokens have to be meant for.")
    issuers: tuple[str, ...] = Field(
        default=("https://accounts.google.com", "accounts.google.com"), description="Who may have signed them."
    )
    callers: dict[str, str] = Field(
        description="Who may call: the subject or the e-mail address of a token, and the id of the API key whose "
        "workspace, limits and models are theirs."
    )


class Fetch(BaseModel):
    """From where pictures and documents are fetched that a request names by their URL."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    allow: list[str] = Field(
        default=[],
        description="Hosts (`*.example.com` too), addresses or networks: if there are any, nothing else is asked.",
    )
    deny: list[str] = Field(default=[], description="Hosts, addresses or networks that are never asked.")
    private: bool = Field(
        default=False,
        description="Whether private networks and this machine may be asked too; link-local addresses never are.",
    )


class Settings(BaseSettings):
    """Nested settings are set with two underscores in a variable's name."""

    model_config = SettingsConfigDict(
        env_prefix="ANTIPHON_", env_nested_delimiter="__", extra="forbid", defer_build=True
    )

    host: str = Field("127.0.0.1", description="The address to listen on.")
    port: int = Field(8484, ge=0, le=65535, description="The port to listen on.")
    data_dir: Path = Field(default_factory=default_data_dir, description="Where keys, logs and models are kept.")
    model: str | None = Field(
        None, description="NAME, PATH.gguf or hf:org/repo[:quant]; nothing for the default model."
    )
    mmproj: Path | None = Field(
        None, description="The projector (mmproj*.gguf) that makes the model see; by default the one that lies with it."
    )
    engine: str | None = Field(None, description="The URL of an engine that runs already, or `fake:`.")
    engine_key: SecretStr | None = Field(None, description="The key of that engine, sent as a bearer token.")
    engine_sees: bool | None = Field(
        None, description="Whether that engine takes pictures; by default what it says of itself (vLLM says nothing)."
    )
    llama_server: Path | None = Field(None, description="A `llama-server` binary to run instead of the built-in one.")
    kv_dir: Path | None = Field(
        None,
        description="Where the built-in engine keeps computed prompts over a restart; nothing keeps them in memory.",
    )
    kv_mib: int | None = Field(
        None,
        ge=0,
        description="MiB of computed prompts to keep beside the slots; by default what memory or disk allows.",
    )
    window: int | None = Field(
        None,
        ge=256,
        description="Tokens in each slot of the built-in engine; by default the model's own, as far as memory allows.",
    )
    slots: int | None = Field(
        None, ge=1, description="Calls that the engine runs at once; by default what it says of itself."
    )
    temperature_scale: float = Field(
        1.0,
        ge=0.0,
        le=1.0,
        description="What temperatures are multiplied by: agents ask for 1, and small models are steadier below it.",
    )
    api_key: SecretStr | None = Field(None, description="An API key of your own, instead of one that is made.")
    admin_key: SecretStr | None = Field(None, description="An admin key of your own, instead of one that is made.")
    database_url: SecretStr | None = Field(
        None, description="postgresql://user:password@host/name; nothing for a file in the data folder."
    )
    secret_key: SecretStr | None = Field(
        None, description="The secret that stored keys are hashed with; by default one is made in the data folder."
    )
    aliases: dict[str, str] = Field({}, description="Further model names, and the models that they mean.")
    prices: dict[str, Price] = Field(
        {}, description="What tokens cost, by model; `*` in a name stands for anything. Others cost nothing."
    )
    strict: bool = Field(
        False,
        description="Refuse what the API does: unknown fields and betas, and thinking that a model does not do.",
    )
    cache_min_tokens: int = Field(
        512, ge=1, description="Tokens that a prefix with a breakpoint has to have to count as cached."
    )
    cache_tells_all: bool = Field(
        False,
        description="Report what the engine had of a prompt without breakpoints, too, as `cache_read_input_tokens`.",
    )
    steady_prompts: bool = Field(
        True, description="Leave out a first system block that is nothing but a client's attribution line."
    )
    vision: Literal["describe", "refuse"] = Field(
        "describe",
        description="What becomes of a picture for a model that cannot see: `describe` it in words, or `refuse` it.",
    )
    fetch: Fetch = Field(default_factory=Fetch, description="From where pictures and documents with a URL are fetched.")
    max_waiting: int = Field(256, ge=0, description="Calls that may wait for a slot; one more is told to come back.")
    max_wait_s: float = Field(50.0, gt=0, description="Seconds that a call may wait for a slot.")
    batch_worker: bool = Field(True, description="Run batches in this server; otherwise `antiphon worker` has to.")
    batch_lease_s: float = Field(
        12.0, ge=1, le=60, description="Seconds after which what a dead worker had of a batch goes to another."
    )
    write_timeout_s: float = Field(30.0, gt=0, description="Seconds that a client may leave a write unread.")
    body_timeout_s: float = Field(60.0, gt=0, description="Seconds that a request may take to arrive whole.")
    upload_timeout_s: float = Field(
        3600.0,
        gt=0,
        description="Seconds that a file may take to arrive, if no part of it takes body_timeout_s.",
    )
    files_dir: Path | None = Field(
        None, description="Where uploaded files are kept; by default `files` in the data folder. Servers share it."
    )
    max_file_bytes: int = Field(500 * 1024 * 1024, ge=0, description="Bytes that one uploaded file may have.")
    max_files_bytes: int = Field(
        1_000_000_000_000, ge=0, description="Bytes that the uploaded files of an organization may have together."
    )
    uploads_are_downloadable: bool = Field(
        False, description="Give uploaded files out again; the API gives out only those that a model has made."
    )
    rate_limits: RateLimits = Field(default_factory=RateLimits, description="What the whole organization may do.")
    drain_s: float = Field(20.0, ge=0, description="Seconds that running calls may go on after SIGTERM.")
    identity_tokens: IdentityTokens | None = Field(None, description="Whose signed tokens are taken as credentials.")
    metrics_port: int | None = Field(
        None, ge=0, le=65535, description="A port of its own for `/metrics`, on the same host and open to all there."
    )
    log_format: Literal["text", "json"] = Field(
        "text", description="How the server writes its own log to stderr: `text`, or `json`, one object a line."
    )
    otel_endpoint: str | None = Field(
        None, description="The URL of an OpenTelemetry collector (OTLP over HTTP); needs the extra `otel`."
    )

    @property
    def files_folder(self) -> Path:
        return self.files_dir or self.data_dir / "files"


def load_settings(config: Path | None = None, **flags: object) -> Settings:
    """`flags` that are None count as not given. Raises OperatorError, which never holds a setting's value."""
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        return _load(config, given)
    except ValidationError as error:
        raise OperatorError(_sentence(error)) from None
    except SettingsError as error:  # a variable of a compound setting: pydantic names the field and the source
        raise OperatorError(f"A variable is not the JSON that its setting takes: {error}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        why = f": {error}" if isinstance(error, tomllib.TOMLDecodeError) else ""
        raise OperatorError(f"{config} is not valid TOML{why}.") from None
    except OSError as error:
        raise OperatorError(f"Cannot read {config} ({error.strerror}).") from None


def _sentence(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    name = ".".join(map(str, first["loc"]))
    if first["type"] == "extra_forbidden":
        return f"There is no setting {name}: see docs/reference/settings.md."
    return f"The setting {name} is wrong: {first['msg']}."


def _load(config: Path | None, flags: dict[str, object]) -> Settings:

    class Loaded(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            toml = (TomlConfigSettingsSource(settings_cls, config),) if config else ()
            return (init_settings, env_settings, *toml)

    return Loaded(**flags)  # type: ignore[arg-type]
