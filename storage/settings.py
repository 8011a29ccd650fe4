"""Every setting of Easel, read from the environment (`EASEL_…`) or a file `.env`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args
from urllib.parse import quote, urlsplit

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL

from storage.domain import Threshold
from storage.domain.policy import (
    SEXUAL,
    SEXUAL_LABELS,
    SUGGESTIVE,
    SUGGESTIVE_LABELS,
    label_key,
)
from storage.written import encoding_of

if TYPE_CHECKING:
    from cryptography.fernet import Fernet


class Thresholds(BaseModel):
    """From which score (0 to 1) a picture is blurred, held or blocked; above 1 is never."""

    model_config = ConfigDict(extra="forbid")

    blur: float = Field(2.0, ge=0, allow_inf_nan=False)
    hold: float = Field(2.0, ge=0, allow_inf_nan=False)
    block: float = Field(2.0, ge=0, allow_inf_nan=False)


ThresholdSet = dict[str, Thresholds]


def _thresholds(given: ThresholdSet) -> tuple[Threshold, ...]:
    """`sexual` and `suggestive` are for all labels of that kind that are not named themselves."""
    wide = {label_key(label): label for label in given}
    all_of = {"sexual": SEXUAL_LABELS - SUGGESTIVE_LABELS, "suggestive": SUGGESTIVE_LABELS}
    if "suggestive" not in wide:
        all_of["sexual"] = SEXUAL_LABELS
    meant = {
        label: given[wide[kind]]
        for kind, labels in all_of.items()
        if kind in wide
        for label in sorted(labels - wide.keys())
    }
    return tuple(Threshold(label=label, **t.model_dump()) for label, t in (given | meant).items())


SECRETS_FOLDER = Path("/run/secrets")
"""Where containers find their secrets: a file `easel_discord_token` is EASEL_DISCORD_TOKEN."""


def host_and_port(address: str) -> tuple[str, int]:
    """Of `127.0.0.1:9464`. Raises ValueError for what is no such address."""
    parts = urlsplit(f"//{address}")
    if not parts.hostname or parts.port is None or parts.netloc != address:
        raise ValueError("expected host:port, for example 127.0.0.1:9464")
    return parts.hostname, parts.port


def at_home(path: Path) -> Path:
    """With `~` written out. Raises ValueError where there is no such home."""
    try:
        return path.expanduser()
    except RuntimeError:
        raise ValueError("there is no home folder to begin at; write the whole path") from None


def _data_folder() -> Path:
    """Where this system keeps the data of programs."""
    try:
        return user_data_path("easel")
    except RuntimeError:
        return Path("~") / "easel"  # There is no such home, which is told as for any other path.


def _secret(given: Any) -> Any:
    """Without the space around it; None for one in which nothing can be seen, since a secret that
    anybody can guess is none."""
    value = given.get_secret_value() if isinstance(given, SecretStr) else given
    if not isinstance(value, str):
        return given
    seen = any(char.isprintable() and not char.isspace() for char in value)
    return value.strip().strip("\ufeff") if seen else None


_PATHS = {"data_folder", "catalog", "text_rules"}


class Settings(BaseSettings):
    """The field descriptions are the README's settings table; a test compares the two."""

    model_config = SettingsConfigDict(
        env_prefix="EASEL_",
        env_nested_delimiter="__",
        env_file=".env",
        secrets_dir=SECRETS_FOLDER if SECRETS_FOLDER.is_dir() else None,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        str_strip_whitespace=True,
    )

    data_folder: Path = Field(
        default_factory=_data_folder,
        validate_default=True,
        description="Where the embedded database, broker and pictures live.",
    )
    # Addresses may hold passwords, so that `repr` leaves them out.
    database_url: str = Field(
        "", repr=False, description="SQLAlchemy URL; empty is SQLite in the data folder."
    )
    broker_url: str = Field(
        "", repr=False, description="Celery broker URL; empty is the data folder."
    )
    blob_url: str = Field(
        "",
        repr=False,
        description="Where pictures are kept, e.g. `s3://bucket`; empty is the data folder.",
    )

    catalog: Path | None = Field(
        None, description="TOML file with more models, LoRAs and styles; see the README."
    )
    default_model: str = Field("builtin", description="The model of a request that names none.")
    worker_models: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Models that this worker serves, comma-separated; empty is all."
    )
    device: Literal["auto", "cpu", "cuda", "mps"] = Field(
        "auto", description="Where the worker draws."
    )
    max_loaded_models: int = Field(1, ge=1, description="Models kept in memory at once.")

    lease_seconds: float = Field(15, gt=0, description="How long a silent worker keeps its job.")
    heartbeat_seconds: float = Field(0.5, gt=0, description="How often a worker renews its lease.")
    step_limit_seconds: float = Field(
        120, gt=0, description="A denoising step that takes longer ends the worker process."
    )
    load_limit_seconds: float = Field(
        1800, gt=0, description="The same for loading a model, its first step and decoding."
    )
    max_attempts: int = Field(3, ge=1, description="Tries before a job counts as failed.")

    queue_limit: int = Field(500, ge=1, description="Waiting jobs before new ones are declined.")
    server_queue_share: float = Field(
        0.5, gt=0, le=1, description="Part of the queue that one server may fill."
    )
    person_queue_limit: int = Field(10, ge=1, description="Unfinished jobs of one person.")
    daily_pictures: int = Field(
        100, ge=0, description="Pictures per person and day (UTC); servers may set fewer."
    )
    daily_refusals: int = Field(
        30, ge=1, description="Refused requests per person and day; then no more are taken."
    )
    blocked_kept_days: int = Field(
        30, ge=0, description="How long blocked pictures are kept for moderators."
    )

    reference_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        ("cdn.discordapp.com", "media.discordapp.net", "upload.wikimedia.org", "i.imgur.com"),
        description="Hosts that `{image: …}` links may name, comma-separated.",
    )
    text_rules: Path | None = Field(
        None, description="TOML file with more words that prompts may not hold."
    )
    safety_checkers: Annotated[tuple[str, ...], NoDecode] = Field(
        ("opennsfw",),
        description="Image checkers, comma-separated: `opennsfw`, `diffusers:FOLDER_OR_ID`,"
        " `transformers:FOLDER_OR_ID` or one of the catalog.",
    )
    thresholds: ThresholdSet = Field(
        {
            "sexual": Thresholds(hold=SEXUAL.hold, block=SEXUAL.block),
            "suggestive": Thresholds(blur=SUGGESTIVE.blur, hold=SUGGESTIVE.hold),
            "nsfw_concept": Thresholds(block=0.5),
            "special_care": Thresholds(hold=0.5),
        },
        description="Per label, from which score pictures are blurred, held or blocked (JSON);"
        " `sexual` and `suggestive` are for all such labels.",
    )
    age_restricted_thresholds: ThresholdSet = Field(
        {
            "sexual": Thresholds(blur=0.85),
            "nsfw_concept": Thresholds(blur=0.5),
            "special_care": Thresholds(hold=0.5),
        },
        description="The same for age-restricted Discord channels.",
    )

    encryption_key: SecretStr | None = Field(
        None,
        description="Fernet key with which tokens are kept that have to be: of Slack workspaces,"
        " and of what was heard and is not answered yet.",
    )

    discord_token: SecretStr | None = Field(
        None, description="Token of the Discord bot; only `easel discord` needs it."
    )
    discord_api_url: str = Field(
        "https://discord.com/api/v10", description="Base URL of Discord's REST API."
    )
    discord_gateway_url: str = Field(
        "", description="Gateway to connect to; empty is Discord's own."
    )

    slack_bot_token: SecretStr | None = Field(
        None, description="Bot token (`xoxb-…`) of the one Slack workspace that is served."
    )
    slack_app_token: SecretStr | None = Field(
        None, description="App-level token (`xapp-…`): Slack by Socket Mode."
    )
    slack_signing_secret: SecretStr | None = Field(
        None, description="Signing secret: Slack by HTTP, when there is no app-level token."
    )
    slack_address: str = Field(
        "127.0.0.1:3000", description="Where HTTP from Slack and installations are answered."
    )
    slack_client_id: str = Field(
        "", description="Client id: many workspaces install the app, in place of the bot token."
    )
    slack_client_secret: SecretStr | None = Field(
        None, description="Client secret that belongs to it."
    )
    slack_encryption_key: SecretStr | None = Field(
        None, description="What `EASEL_ENCRYPTION_KEY` was called before; still read."
    )
    slack_api_url: str = Field("https://slack.com/api/", description="Base URL of Slack's Web API.")

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="How much is logged."
    )
    health_address: str = Field(
        "",
        description="Where `/health` and `/metrics` answer, e.g. `127.0.0.1:9464`; empty is off.",
    )

    def __init__(self, **given: Any) -> None:
        """Raises pydantic.ValidationError, pydantic_settings.SettingsError, or OSError and
        UnicodeDecodeError for a file `.env` that cannot be read."""
        file = Path(given.get("_env_file", self.model_config["env_file"]) or "")
        if file.is_file():
            given.setdefault("_env_file_encoding", encoding_of(file))
        super().__init__(**given)

    @field_validator("health_address", "slack_address")
    @classmethod
    def _is_address(cls, address: str) -> str:
        if address:
            host_and_port(address)
        return address

    @field_validator(*_PATHS)
    @classmethod
    def _expand(cls, path: Path | None) -> Path | None:
        return path and at_home(path)

    @model_validator(mode="before")
    @classmethod
    def _read(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        for name in ("worker_models", "reference_hosts", "safety_checkers"):
            if isinstance(values.get(name), str):
                values[name] = tuple(p.strip() for p in values[name].split(",") if p.strip())
        for name in _PATHS & values.keys():
            if isinstance(values[name], str) and not values[name].strip():
                del values[name]  # As if it were not there; else it would mean this folder.
        for name in CHAT_SECRETS & values.keys():
            values[name] = _secret(values[name])
        older = values.get("slack_encryption_key")
        if older and values.get("encryption_key") is None:
            values["encryption_key"] = older
        return values

    @model_validator(mode="after")
    def _check(self) -> Settings:
        if self.heartbeat_seconds * 3 > self.lease_seconds:
            raise ValueError("lease_seconds must be at least three times heartbeat_seconds")
        if not self.safety_checkers:
            raise ValueError("safety_checkers must name at least one checker")
        return self

    @classmethod
    def for_worker(cls) -> Settings:
        """Without the secrets of chats, wherever they are written."""
        return cls(**dict.fromkeys(CHAT_SECRETS))

    def fernet(self) -> Fernet | None:
        """What seals and opens with the encryption key, if there is one. Raises ValueError for a
        key that is none."""
        if self.encryption_key is None:
            return None
        from cryptography.fernet import Fernet

        try:
            return Fernet(self.encryption_key.get_secret_value())
        except ValueError:
            raise ValueError(
                "this is no Fernet key; the README has a command that makes one"
            ) from None

    @property
    def resolved_database_url(self) -> str:
        if self.database_url:
            return self.database_url
        url = URL.create("sqlite", database=str(self.data_folder / "easel.db"))
        return url.render_as_string(hide_password=False)

    @property
    def resolved_broker_url(self) -> str:
        return self.broker_url or "easel-files://localhost"

    @property
    def resolved_blob_url(self) -> str:
        return self.blob_url or f"file://{quote(str((self.data_folder / 'blobs').absolute()))}"

    def thresholds_for(self, *, age_restricted: bool) -> tuple[Threshold, ...]:
        return _thresholds(self.age_restricted_thresholds if age_restricted else self.thresholds)


CHAT_SECRETS = frozenset(
    name for name, field in Settings.model_fields.items() if SecretStr in get_args(field.annotation)
)
"""Settings that only a process which serves a chat may know: all that are secret."""
