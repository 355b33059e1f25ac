"""Every setting of the server, with its default: from flags, then `ANTIPHON_*` variables, then a TOML file."""

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource


def default_data_dir() -> Path:
    return Path.home() / ".local" / "share" / "antiphon"


class Settings(BaseSettings):
    """Nested settings are set with two underscores: `ANTIPHON_QUEUE__MAX_WAIT_S=2`."""

    model_config = SettingsConfigDict(env_prefix="ANTIPHON_", env_nested_delimiter="__", extra="ignore")

    host: str = "127.0.0.1"
    port: int = Field(8484, ge=0, le=65535)
    data_dir: Path = Field(default_factory=default_data_dir)
    model: str | None = None
    """A name, a path to a .gguf file, or hf:org/repo[:quant]; None for the default model."""
    engine: str | None = None
    """The URL of an engine that runs already, or `fake:`."""
    engine_key: SecretStr | None = None
    llama_server: Path | None = None
    """A `llama-server` binary to run instead of the built-in one."""
    window: int | None = Field(None, ge=256)
    """Tokens per slot of the built-in engine; None for the model's own, as far as memory allows."""
    slots: int | None = Field(None, ge=1)
    """Calls that the engine runs at once; None for what the engine says of itself."""
    api_key: SecretStr | None = None
    admin_key: SecretStr | None = None
    aliases: dict[str, str] = {}
    """Further model names, and the models that they mean."""
    strict: bool = False
    """Refuse unknown body fields and unknown betas, as the API does."""
    max_waiting: int = Field(256, ge=0)
    """Calls that may wait for a slot; one more is told `overloaded_error`."""
    max_wait_s: float = Field(5.0, gt=0)
    write_timeout_s: float = Field(30.0, gt=0)
    """How long a client may leave a write unread before its call is cut."""
    body_timeout_s: float = Field(60.0, gt=0)
    """How long a request may take to arrive whole."""
    drain_s: float = Field(20.0, ge=0)
    """How long running calls may go on after SIGTERM."""


def load_settings(config: Path | None = None, **flags: object) -> Settings:
    """`flags` that are None count as not given. Raises pydantic's ValidationError."""

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

    return Loaded(**{name: value for name, value in flags.items() if value is not None})  # type: ignore[arg-type]
