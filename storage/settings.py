"""Every setting of Easel, read from the environment (`EASEL_…`) or a file `.env`."""

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote

from platformdirs import user_data_path
from pydantic import BaseModel, Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from storage.domain import Threshold


class Thresholds(BaseModel):
    """From which score (0 to 1) a picture is blurred, held or blocked; above 1 is never."""

    blur: float = 2.0
    hold: float = 2.0
    block: float = 2.0


ThresholdSet = dict[str, Thresholds]


def _thresholds(given: ThresholdSet) -> tuple[Threshold, ...]:
    return tuple(Threshold(label=label, **t.model_dump()) for label, t in given.items())


class Settings(BaseSettings):
    """The field descriptions are the README's settings table; a test compares the two."""

    model_config = SettingsConfigDict(
        env_prefix="EASEL_",
        env_nested_delimiter="__",
        env_file=".env",
        extra="ignore",
        frozen=True,
    )

    data_folder: Path = Field(
        default_factory=lambda: user_data_path("easel"),
        description="Where the embedded database, broker and pictures live.",
    )
    database_url: str = Field("", description="SQLAlchemy URL; empty is SQLite in the data folder.")
    broker_url: str = Field("", description="Celery broker URL; empty is the data folder.")
    blob_url: str = Field(
        "", description="Where pictures are kept, e.g. `s3://bucket`; empty is the data folder."
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
    person_queue_limit: int = Field(10, ge=1, description="Unfinished jobs of one person.")
    daily_pictures: int = Field(
        100, ge=0, description="Pictures per person and day (UTC); servers may set their own."
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
        description="Image checkers, comma-separated: `opennsfw`, `diffusers:FOLDER_OR_ID`"
        " or `transformers:FOLDER_OR_ID`.",
    )
    thresholds: ThresholdSet = Field(
        {
            "nsfw": Thresholds(hold=0.5, block=0.85),
            "nsfw_concept": Thresholds(block=0.5),
            "special_care": Thresholds(hold=0.5),
        },
        description="Per label, from which score pictures are blurred, held or blocked (JSON).",
    )
    age_restricted_thresholds: ThresholdSet = Field(
        {
            "nsfw": Thresholds(blur=0.85),
            "nsfw_concept": Thresholds(blur=0.5),
            "special_care": Thresholds(hold=0.5),
        },
        description="The same for age-restricted Discord channels.",
    )

    discord_token: SecretStr | None = Field(
        None, description="Token of the Discord bot; only `easel discord` needs it."
    )
    discord_api_url: str = Field(
        "https://discord.com/api/v10", description="Base URL of Discord's REST API."
    )
    discord_gateway_url: str = Field(
        "", description="Gateway to connect to; empty asks Discord for it."
    )

    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO", description="How much is logged."
    )

    @model_validator(mode="before")
    @classmethod
    def _split_lists(cls, values: object) -> object:
        if isinstance(values, dict):
            for name in ("worker_models", "reference_hosts", "safety_checkers"):
                if isinstance(values.get(name), str):
                    values[name] = tuple(p.strip() for p in values[name].split(",") if p.strip())
        return values

    @model_validator(mode="after")
    def _check(self) -> "Settings":
        if self.heartbeat_seconds * 3 > self.lease_seconds:
            raise ValueError("lease_seconds must be at least three times heartbeat_seconds")
        if not self.safety_checkers:
            raise ValueError("safety_checkers must name at least one checker")
        return self

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite:///{self.data_folder / 'easel.db'}"

    @property
    def resolved_broker_url(self) -> str:
        return self.broker_url or "easel-files://localhost"

    @property
    def resolved_blob_url(self) -> str:
        return self.blob_url or f"file://{quote(str((self.data_folder / 'blobs').absolute()))}"

    def thresholds_for(self, *, age_restricted: bool) -> tuple[Threshold, ...]:
        return _thresholds(self.age_restricted_thresholds if age_restricted else self.thresholds)
