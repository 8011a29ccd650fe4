"""What somebody asks for: from the raw command that an adapter heard to an ImageRequest."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class Platform(StrEnum):
    DISCORD = "discord"
    SLACK = "slack"
    TERMINAL = "terminal"


class Mode(StrEnum):
    TEXT_TO_IMAGE = "text_to_image"
    IMAGE_TO_IMAGE = "image_to_image"
    INPAINT = "inpaint"


class ReferenceUse(StrEnum):
    RESTYLE = "restyle"
    """Image to image: the whole reference is redrawn, as far as `strength` allows."""
    EDIT = "edit"
    """Inpaint: only what is white in the mask is repainted."""


@dataclass(frozen=True, kw_only=True)
class EventKey:
    """The platform's own name for one event; the same key is the same request (LIMITS.md)."""

    platform: Platform
    kind: str
    id: str
    workspace_id: str = ""
    enterprise_id: str = ""

    def __str__(self) -> str:
        parts = (self.platform, self.enterprise_id, self.workspace_id, self.kind, self.id)
        return ":".join(parts)


@dataclass(frozen=True, kw_only=True)
class Account:
    """Somebody, as one platform names them."""

    platform: Platform
    user_id: str
    tenant: str = ""
    """Slack: the person's enterprise, or else their own team, which in a shared channel may be
    another than the one that is asked. Empty on Discord, whose ids are global, and in the shell."""

    def __str__(self) -> str:
        return ":".join(part for part in (self.platform, self.tenant, self.user_id) if part)


@dataclass(frozen=True, kw_only=True)
class Requester(Account):
    """An account that asks for something now."""

    locale: str = "en"
    """One of "en", "fr", "es"."""
    manages: bool = False
    """May manage messages and settings where they ask, as the platform said with the event."""

    @property
    def account(self) -> Account:
        return Account(platform=self.platform, user_id=self.user_id, tenant=self.tenant)


DISCORD_UPLOADS_BYTES = 24 * 1024 * 1024
"""Discord takes 25 MiB a request (API reference, uploading files); the rest is for the words."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where the picture will be shown."""

    platform: Platform
    channel_id: str = ""
    workspace_id: str = ""
    """Discord guild or Slack workspace; empty in direct messages and in the shell."""
    enterprise_id: str = ""
    thread_id: str = ""
    age_restricted: bool = False
    upload_limit_bytes: int = 10 * 1024 * 1024
    """Largest file that may be posted here; 10 MiB is Discord's default."""

    def picture_limit_bytes(self, count: int) -> int:
        """How large each of `count` pictures of one message may be."""
        if self.platform is not Platform.DISCORD:
            return self.upload_limit_bytes
        return min(self.upload_limit_bytes, DISCORD_UPLOADS_BYTES // count)


@dataclass(frozen=True, kw_only=True)
class Attached:
    """A file that came with the command."""

    name: str
    size_bytes: int
    address: str = field(repr=False)
    """Where the platform keeps it: a URL of Discord's, the id of a file of Slack's, a path. Its
    adapter knows how to read it."""


@dataclass(frozen=True, kw_only=True)
class Linked:
    """`{image: https://…}` in the prompt."""

    url: str


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A picture that is in the blob store already: an earlier result used as reference."""

    sha256: str


Source = Attached | Linked | Kept


@dataclass(frozen=True, kw_only=True)
class RawCommand:
    """What an adapter heard, before the grammar; all of it can be written down (`storage.inbox`).

    `options` are typed by the platform and win over flags in `text`. Keys: negative, strength,
    seed, steps, guidance, aspect, count, style, model, private, use.
    """

    event: EventKey
    requester: Requester
    place: Place
    application: str = ""
    """The bot or app that was asked: Discord's application id, Slack's app id."""
    act: str = "draw"
    """What to do; each adapter knows its own."""
    about: str = ""
    """What it is about, as its button names it: a job, or a job and the index of a picture."""
    reply: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What the adapter needs to answer: a token, an address, what the message was."""
    text: str = ""
    options: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    reference: Source | None = None
    mask: Source | None = None
    parent_sha256: str | None = None
    """The picture whose button was pressed (again, vary, enlarge)."""
    press: str = ""
    """Names a button press, so that a second press within 2 s is the same request."""
    heard_at: datetime | None = None
    """Of what another process has heard; None is just now."""


@dataclass(frozen=True, kw_only=True)
class Complaint:
    """Why a command cannot be taken, and what to type instead: an English sentence that
    `bot.i18n.say(locale, complaint.text, **complaint.values)` shows in the person's language."""

    text: str
    values: Mapping[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A reference image, decoded, re-encoded as PNG and stored under its hash."""

    sha256: str
    use: ReferenceUse
    strength: float
    """0 to 1: how far the picture may move away from the reference (diffusers' `strength`)."""
    mask_sha256: str | None = None
    """PNG, mode L, of the reference's size; white is repainted. Present when `use` is edit."""

    def __post_init__(self) -> None:
        if not 0.0 < self.strength <= 1.0:
            raise ValueError(f"strength is above 0 and at most 1, not {self.strength}")
        if (self.use is ReferenceUse.EDIT) != (self.mask_sha256 is not None):
            raise ValueError("an edit has a mask, a restyle has none")


@dataclass(frozen=True, kw_only=True)
class ImageRequest:
    """One request with every choice made: nothing is left for the worker to guess."""

    prompt: str
    """May hold `(word:1.3)` weights; flags, minus groups and links are taken out."""
    negative_prompt: str = ""
    model: str
    """A name of the catalog."""
    style: str | None = None
    width: int
    """Pixels that the pipeline is asked for."""
    height: int
    own_size: bool = field(default=True, compare=False)
    """The person chose the size; otherwise a reference brings its own shape."""
    steps: int
    guidance_scale: float
    scheduler: str | None = None
    """A name of `generation.pipeline.SCHEDULERS`; None is the model's own."""
    seed: int
    """Of the first picture; picture i has seed + i."""
    count: int = 1
    private: bool = False
    source: Source | None = field(default=None, compare=False)
    """Where the reference is to be had, until `reference` says what it is."""
    mask_source: Source | None = field(default=None, compare=False)
    use: ReferenceUse | None = None
    """What the reference is for; None without one."""
    strength: float = 0.6
    reference: Reference | None = None
    parent_sha256: str | None = None
    notes: tuple[Complaint, ...] = field(default=(), compare=False, repr=False)
    """What of it cannot be done as asked, to be said beside the result."""

    @property
    def lacks_reference(self) -> bool:
        """Whether it was to be drawn from a picture of which nothing is kept: what is blocked for
        good is not fetched, and a release before 0004 did not fetch what it held either."""
        return self.use is not None and self.source is None and self.reference is None

    @property
    def mode(self) -> Mode:
        if self.reference is None:
            return Mode.TEXT_TO_IMAGE
        if self.reference.use is ReferenceUse.EDIT:
            return Mode.INPAINT
        return Mode.IMAGE_TO_IMAGE
