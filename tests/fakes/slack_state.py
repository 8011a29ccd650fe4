"""What a fake Slack knows: its clock, workspaces, channels, messages, files and views.

No network here: `slack_methods` and `slack_wire` speak for it. Limits are those of docs.slack.dev:
"Handling user interaction", "Modals", "Files", and of the methods' own pages.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.slack_text import read
from tests.wire.slack_api import MESSAGE, Violation, check_blocks, check_view, pictures

ANSWER_SECONDS = TRIGGER_SECONDS = 3.0
RESPONSE_SECONDS, RESPONSE_USES = 30 * 60.0, 5
PUSHED_VIEWS = 3
MOST_POSTED, MOST_UPDATED = 40_000, 4_000
"""Characters of `text`, by chat.postMessage and chat.update."""
INPUT_FILE_BYTES = 10_000_000
"""Of a file in a modal's file input."""

APP, BOT, BOT_USER = "A0EASEL", "B0EASEL", "U0EASEL"
TEAM, ENTERPRISE = "T0ATELIER", "E0GUILD"
SLACKBOT = "USLACKBOT"
PICTURES, SKETCHES, QUIET, OUTSIDE, SECRET, ARCHIVED, SHARED = (
    f"C0{name}"
    for name in ("PICTURES", "SKETCHES", "QUIET", "OUTSIDE", "SECRET", "ARCHIVED", "SHARED")
)
CHANNELS = (PICTURES, SKETCHES, QUIET)
"""Where the bot is a member. Of OUTSIDE and SECRET it is none, and SECRET it cannot see."""
ALICE, BOB, MOD = "U0ALICE", "U0BOB", "U0MOD"
SCOPES = (
    "app_mentions:read,channels:history,channels:read,chat:write,commands,files:read,files:write,"
    "groups:history,groups:read,im:history,im:read,im:write,mpim:history,mpim:read,team:read,"
    "users:read"
)
FORMATS = {
    b"\x89PNG\r\n\x1a\n": ("image/png", "png"),
    b"\xff\xd8\xff": ("image/jpeg", "jpg"),
    b"GIF8": ("image/gif", "gif"),
    b"RIFF": ("image/webp", "webp"),
}
SHOWN_FORMATS = ("png", "jpg", "gif")
"""What an image block can show."""


class Refused(Exception):
    """An answer `ok: false`: its error, and what Slack says beside it."""

    def __init__(self, error: str, *messages: str, **more: Any) -> None:
        super().__init__(f"{error} {' '.join(messages)}".strip())
        self.error, self.messages, self.more = error, messages, more


@dataclass(kw_only=True)
class Person:
    id: str
    locale: str = "en-US"
    admin: bool = False
    bot: bool = False
    takes_direct: bool = True
    team: str = TEAM
    """The one workspace that interactions tell of who is in several of an enterprise."""
    enterprise: str = ""


@dataclass(kw_only=True)
class Channel:
    id: str
    name: str
    member: bool = True
    """Whether the bot is one."""
    private: bool = False
    archived: bool = False
    shared: bool = False
    """Slack Connect: files come as stubs."""
    direct: str = ""
    """Whose direct messages with the bot these are."""
    people: tuple[str, ...] = ()
    """Who is in it; empty is everybody."""


@dataclass(kw_only=True)
class Installation:
    """Of the app, in a workspace or in a whole Enterprise Grid organisation."""

    token: str
    team_id: str | None
    enterprise_id: str | None
    scopes: set[str]
    revoked: bool = False


@dataclass(kw_only=True)
class File:
    id: str
    name: str
    size: int
    user: str
    created: float
    alt: str = ""
    title: str = ""
    data: bytes | None = None
    completed_at: float | None = None
    ready_at: float = 0.0
    deleted: bool = False
    share: dict[str, Any] | None = None
    """The message that is to share it, once it is ready."""
    shares: list[tuple[str, str]] = field(default_factory=list)
    """Channel and ts of messages that show it."""

    @property
    def kind(self) -> tuple[str, str]:
        """Media type and Slack's file type, by what the bytes say."""
        data = self.data or b""
        found = (kinds for magic, kinds in FORMATS.items() if data.startswith(magic))
        return next(found, ("application/octet-stream", "binary"))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data or b"").hexdigest()


@dataclass(kw_only=True)
class Message:
    ts: str
    channel: str
    user: str
    text: str = ""
    blocks: list[dict[str, Any]] = field(default_factory=list)
    attachments: list[dict[str, Any]] = field(default_factory=list)
    metadata: dict[str, Any] | None = None
    files: list[str] = field(default_factory=list)
    thread_ts: str | None = None
    only_for: str | None = None
    """The person who sees it, of a message that is ephemeral."""
    edited_ts: str | None = None
    deleted: bool = False
    versions: list[dict[str, Any]] = field(default_factory=list)
    """What it said, from first to last."""


@dataclass(kw_only=True)
class View:
    id: str
    user: str
    body: dict[str, Any]
    hash: str
    root: str = ""
    previous: str | None = None
    closed: bool = False
    errors: dict[str, str] = field(default_factory=dict)
    """Under which inputs the app has put which words."""


@dataclass(kw_only=True)
class Trigger:
    user: str
    at: float
    view: str | None = None
    """The modal from which it comes; views.push goes on top of it."""
    used: bool = False


@dataclass(kw_only=True)
class ResponseUrl:
    channel: str
    user: str
    at: float
    original: str | None = None
    """ts of the message whose button was pressed."""
    thread_ts: str | None = None
    uses: int = 0


class State:
    def __init__(self, bot_token: str, app_token: str) -> None:
        self.offset_seconds = 0.0
        self.ready_after_seconds = 0.3
        """How long Slack takes to process an uploaded file."""
        self.upload_limit_bytes = 1_000_000_000
        self.uploads_allowed = True
        self.app_token, self.app_token_revoked = app_token, False
        self.installations = {
            bot_token: Installation(
                token=bot_token, team_id=TEAM, enterprise_id=None, scopes=set(SCOPES.split(","))
            )
        }
        self.violations: list[str] = []
        """What the bot sent and should not have, and where the fake is not like Slack's samples."""
        self.codes: dict[str, str | None] = {}
        """Of OAuth, with the workspace for which they stand; None is the organisation."""
        self.people = {id: Person(id=id, admin=id == MOD) for id in (ALICE, BOB, MOD)}
        self.people[BOT_USER] = Person(id=BOT_USER, bot=True)
        self.channels = {id: Channel(id=id, name=id[2:].lower()) for id in CHANNELS}
        self.channels[OUTSIDE] = Channel(id=OUTSIDE, name="outside", member=False)
        self.channels[SECRET] = Channel(id=SECRET, name="secret", member=False, private=True)
        self.channels[ARCHIVED] = Channel(id=ARCHIVED, name="archived", archived=True)
        self.channels[SHARED] = Channel(id=SHARED, name="shared", shared=True)
        self.messages: dict[tuple[str, str], Message] = {}
        self.files: dict[str, File] = {}
        self.views: dict[str, View] = {}
        self.homes: dict[str, View] = {}
        self.triggers: dict[str, Trigger] = {}
        self.response_urls: dict[str, ResponseUrl] = {}
        self.written_directly: Callable[[Message], object] = lambda message: None
        """Told of what the bot writes into direct messages, as Slack tells the app."""
        self._count = 0

    def now(self) -> float:
        return time.time() + self.offset_seconds

    def id(self, letter: str) -> str:
        self._count += 1
        return f"{letter}{self._count:04d}{secrets.token_hex(3).upper()}"

    def new_ts(self) -> str:
        self._count += 1
        return f"{int(self.now())}.{self._count % 1_000_000:06d}"

    # People, channels, triggers.

    def person(self, user: str) -> Person:
        if user not in self.people:
            raise Refused("user_not_found")
        return self.people[user]

    def channel(self, channel_id: str) -> Channel:
        """As the bot sees it. Raises Refused."""
        channel = self.channels.get(channel_id)
        if channel is None or (channel.private and not channel.member):
            raise Refused("channel_not_found")
        return channel

    def own_channel(self, channel_id: str) -> Channel:
        """Where the bot may write. Raises Refused."""
        channel = self.channel(channel_id)
        if channel.archived:
            raise Refused("is_archived")
        if not channel.member:
            raise Refused("not_in_channel")
        if channel.direct and not self.people[channel.direct].takes_direct:
            raise Refused("messages_tab_disabled")
        return channel

    def direct_channel(self, user: str) -> Channel:
        self.person(user)
        known = next((c for c in self.channels.values() if c.direct == user), None)
        if known is None:
            known = Channel(id=f"D{user[1:]}", name="directmessage", direct=user)
            self.channels[known.id] = known
        return known

    def trigger(self, user: str, view: str | None = None) -> str:
        self._count += 1
        id = f"{self._count}.{int(self.now())}.{secrets.token_hex(16)}"
        self.triggers[id] = Trigger(user=user, at=self.now(), view=view)
        return id

    def take_trigger(self, id: str) -> Trigger:
        """Once, and within 3 seconds. Raises Refused."""
        trigger = self.triggers.get(id)
        if trigger is None:
            raise Refused("invalid_trigger_id")
        if self.now() - trigger.at > TRIGGER_SECONDS:
            raise Refused("expired_trigger_id")
        if trigger.used:
            raise Refused("exchanged_trigger_id")
        trigger.used = True
        return trigger

    # Messages.

    def post(self, channel_id: str, user: str, body: dict[str, Any]) -> Message:
        thread = body.get("thread_ts") or None
        if thread is not None:
            parent = self.messages.get((channel_id, thread))
            if parent is None or parent.deleted:
                raise Refused("thread_not_found")
            thread = parent.thread_ts or parent.ts
        message = Message(ts=self.new_ts(), channel=channel_id, user=user, thread_ts=thread)
        message.only_for = body.get("only_for")
        self._write(message, body, MOST_POSTED)
        self.messages[channel_id, message.ts] = message
        for id in message.files:
            self.files[id].shares.append((channel_id, message.ts))
        if self.channels[channel_id].direct and user == BOT_USER and not message.only_for:
            self.written_directly(message)
        return message

    def of_channel(self, channel_id: str, ts: str) -> Message:
        """As the bot finds it: ephemeral messages are not there. Raises Refused."""
        message = self.messages.get((channel_id, ts))
        if message is None or message.deleted or message.only_for is not None:
            raise Refused("message_not_found")
        return message

    def update(self, message: Message, body: dict[str, Any], most: int = MOST_UPDATED) -> Message:
        self._write(message, body, most)
        message.edited_ts = self.new_ts()
        return message

    def delete(self, message: Message) -> None:
        message.deleted = True
        self._remember(message)

    def _write(self, message: Message, body: dict[str, Any], most: int) -> None:
        """What the body names is replaced; blocks and metadata that it does not name stay."""
        text, blocks = body.get("text") or "", body.get("blocks", message.blocks) or []
        files = body.get("files", message.files)
        attachments = body.get("attachments", message.attachments) or []
        if not (text.strip() or blocks or attachments or files):
            raise Refused("no_text")
        if len(text) > most:
            raise Refused("msg_too_long")
        metadata = body.get("metadata", message.metadata) or None
        if metadata is not None and not {"event_type", "event_payload"} <= set(metadata):
            raise Refused("invalid_metadata_format")
        self.check_blocks(blocks, body.get("surface", MESSAGE))
        message.text, message.blocks, message.attachments = text, blocks, attachments
        message.metadata, message.files = metadata, files
        self._remember(message)

    def check_blocks(self, blocks: list[dict[str, Any]], surface: str) -> None:
        """Raises Refused."""
        try:
            check_blocks(blocks, surface)
        except Violation as wrong:
            error = "msg_blocks_too_long" if "too_long" in str(wrong) else "invalid_blocks"
            raise Refused(error, f"[ERROR] {wrong}") from None
        for picture in pictures(blocks):
            if "slack_file" in picture and not self._can_show(picture["slack_file"]):
                raise Refused("invalid_blocks", "[ERROR] invalid slack file")

    def _can_show(self, given: dict[str, str]) -> bool:
        wanted = given.get("id") or given["url"].rpartition("/")[2].partition("-")[0]
        file = self.files.get(wanted)
        return file is not None and self.ready(file) and file.kind[1] in SHOWN_FORMATS

    def _remember(self, message: Message) -> None:
        message.versions.append({"at": self.now(), **self.look(message)})

    # Files.

    def ready(self, file: File) -> bool:
        """Uploaded and processed; a message that was to share it then does."""
        done = file.completed_at is not None and self.now() >= file.ready_at
        return done and not file.deleted

    def share_what_is_ready(self) -> None:
        for file in list(self.files.values()):
            if file.share is not None and self.ready(file):
                share, file.share = file.share, None
                together = share.pop("together")
                for other in together:
                    self.files[other].share = None
                self.post(share.pop("channel"), file.user, {**share, "files": together})

    def new_file(self, name: str, size: int, user: str, **more: Any) -> File:
        file = File(id=self.id("F"), name=name, size=size, user=user, created=self.now(), **more)
        self.files[file.id] = file
        return file

    def persons_file(self, name: str, data: bytes, user: str) -> File:
        """What somebody has put into Slack: whole, and ready."""
        file = self.new_file(name, len(data), user, data=data, title=name)
        file.completed_at = file.ready_at = self.now()
        return file

    # Views.

    def put_view(self, user: str, body: dict[str, Any]) -> View:
        self.check_view(body)
        view = View(id=self.id("V"), user=user, body=body, hash=self._hash())
        view.root = view.id
        return view

    def change_view(self, view: View, body: dict[str, Any]) -> View:
        self.check_view(body, view)
        view.body, view.hash, view.errors = body, self._hash(), {}
        return view

    def check_view(self, body: dict[str, Any], own: View | None = None) -> None:
        """Raises Refused."""
        try:
            check_view(body)
        except Violation as wrong:
            raise Refused("invalid_arguments", f"[ERROR] {wrong}") from None
        self.check_blocks(body["blocks"], body["type"])
        external = body.get("external_id")
        others = (v for v in self.views.values() if v is not own and not v.closed)
        if external and any(v.body.get("external_id") == external for v in others):
            raise Refused("duplicate_external_id")

    def _hash(self) -> str:
        return f"{int(self.now())}.{secrets.token_hex(4)}"

    # What it looks like to people.

    def look(self, message: Message) -> dict[str, Any]:
        """As a person reads it, with the hash of each picture."""
        reading = read(message.text, message.blocks)
        return {
            "ts": message.ts,
            "thread_ts": message.thread_ts,
            "channel": message.channel,
            "user": message.user,
            "ephemeral": message.only_for is not None,
            "deleted": message.deleted,
            "edited": message.edited_ts is not None,
            "notification": message.text,
            "text": reading.text,
            "pings": reading.pings,
            "links": reading.links,
            "buttons": reading.buttons,
            "images": [self._image(image) for image in reading.images],
            "files": [self.look_file(id) for id in message.files if not self.files[id].deleted],
            "metadata": message.metadata,
        }

    def _image(self, image: dict[str, Any]) -> dict[str, Any]:
        id = image["file"] or image["url"].rpartition("/")[2].partition("-")[0]
        return {**self.look_file(id), "alt": image["alt"]} if id in self.files else image

    def look_file(self, id: str) -> dict[str, Any]:
        file = self.files[id]
        facts = {"id": id, "name": file.name, "title": file.title, "alt": file.alt}
        size = {"size_bytes": len(file.data or b""), "sha256": file.sha256}
        return {**facts, **size, "mimetype": file.kind[0], "deleted": file.deleted}

    def seen(self, channel: str, user: str, thread: str | None) -> list[dict[str, Any]]:
        """The channel, or a thread of it, as this person finds it now, oldest message first."""
        self.share_what_is_ready()
        return [
            self.look(message)
            for message in self.messages.values()
            if message.channel == channel
            and not message.deleted
            and message.only_for in (None, user)
            and (message.thread_ts == thread or (thread and message.ts == thread))
        ]

    def see_view(self, view: View) -> dict[str, Any]:
        reading = read("", view.body["blocks"])
        titles = {key: (view.body.get(key) or {}).get("text", "") for key in ("title", "submit")}
        return {
            "id": view.id,
            **titles,
            "callback_id": view.body.get("callback_id", ""),
            "private_metadata": view.body.get("private_metadata", ""),
            "text": reading.text,
            "inputs": reading.inputs,
            "buttons": reading.buttons,
            "images": [self._image(image) for image in reading.images],
            "pings": reading.pings,
            "errors": view.errors,
        }
