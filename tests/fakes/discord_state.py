"""What a fake Discord knows: its clock, interactions, messages, and what a person sees of them.

No network here: `discord_rest` and `discord_gateway` speak for it. Limits are those of Discord's
developer pages "Receiving and Responding", "Message" and "Opcodes and Status Codes".
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

EPOCH_MS = 1_420_070_400_000
ANSWER_SECONDS = 3.0
TOKEN_SECONDS = 15 * 60.0
NONCE_SECONDS = 5 * 60.0
"""Discord says "the past few minutes"."""
UPLOAD_LIMIT_BYTES = 10 * 1024 * 1024
EPHEMERAL, LOADING = 1 << 6, 1 << 7
ALL_PERMISSIONS = str((1 << 50) - 1)

APPLICATION, GUILD, OWNER = 1001, 2001, 3001
CHANNELS = (4001, 4002, 4003)
COMMAND, COMPONENT, MODAL_SUBMIT = 2, 3, 5
MESSAGE, DEFERRED_MESSAGE, DEFERRED_UPDATE, UPDATE, SUGGESTIONS, MODAL = 4, 5, 6, 7, 8, 9


class Refused(Exception):
    """An answer that is an error: HTTP status, Discord's code, words."""

    def __init__(self, status: int, code: int, words: str) -> None:
        super().__init__(words)
        self.status, self.code, self.words = status, code, words


def unknown_message() -> Refused:
    return Refused(404, 10008, "Unknown Message")


@dataclass(kw_only=True)
class File:
    id: int
    filename: str
    data: bytes
    description: str | None = None

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@dataclass(kw_only=True)
class Message:
    id: int
    channel_id: int
    author_id: int
    created_at: float
    only_for: int | None = None
    """The person who sees it, of a message that is ephemeral."""
    interaction_id: int | None = None
    nonce: str | None = None
    content: str = ""
    embeds: list[dict[str, Any]] = field(default_factory=list)
    components: list[dict[str, Any]] = field(default_factory=list)
    files: list[File] = field(default_factory=list)
    thinking: bool = False
    deleted: bool = False
    versions: list[dict[str, Any]] = field(default_factory=list)
    """What it said, from first to last."""

    @property
    def flags(self) -> int:
        return EPHEMERAL * (self.only_for is not None) + LOADING * self.thinking


@dataclass(kw_only=True)
class Interaction:
    id: int
    token: str
    kind: int
    channel_id: int
    user_id: int
    created_at: float
    payload: dict[str, Any]
    source_message_id: int | None = None
    answered_at: float | None = None
    answer: int | None = None
    answer_data: dict[str, Any] = field(default_factory=dict)
    original_id: int | None = None
    follow_ups: list[int] = field(default_factory=list)


class State:
    def __init__(self) -> None:
        self.token = ""
        """The bot token that is good; empty takes any."""
        self.revoked = False
        self.offset_seconds = 0.0
        self.commands: list[dict[str, Any]] = []
        self.interactions: dict[int, Interaction] = {}
        self.messages: dict[int, Message] = {}
        self.direct: dict[int, int] = {}
        """Direct message channels by person."""
        self.closed_to: set[int] = set()
        """People who take no direct messages."""
        self.uploads: dict[int, File] = {}
        self._count = 0

    def now(self) -> float:
        return time.time() + self.offset_seconds

    def snowflake(self) -> int:
        """An id that says when it was made."""
        self._count += 1
        return (int(self.now() * 1000) - EPOCH_MS) << 22 | (self._count & 0x3FFFFF)

    # Interactions.

    def interaction(self, token: str) -> Interaction:
        """By its token, which lives for 15 minutes."""
        for interaction in self.interactions.values():
            if interaction.token == token:
                if self.now() - interaction.created_at > TOKEN_SECONDS:
                    raise Refused(401, 50027, "Invalid Webhook Token")
                return interaction
        raise Refused(404, 10015, "Unknown Webhook")

    def answer(self, id: int, token: str, body: dict[str, Any], files: list[File]) -> Interaction:
        """The first answer, within 3 seconds, once."""
        interaction = self.interactions.get(id)
        if interaction is None or interaction.token != token:
            raise Refused(404, 10062, "Unknown interaction")
        if interaction.answered_at is not None:
            raise Refused(400, 40060, "Interaction has already been acknowledged.")
        if self.now() - interaction.created_at > ANSWER_SECONDS:
            raise Refused(404, 10062, "Unknown interaction")
        kind, data = body["type"], body.get("data") or {}
        if kind in (MESSAGE, DEFERRED_MESSAGE):
            message = self._new_message(
                interaction.channel_id,
                interaction=interaction,
                ephemeral=bool(data.get("flags", 0) & EPHEMERAL),
            )
            interaction.original_id = message.id
            if kind == DEFERRED_MESSAGE:
                message.thinking = True
                self._remember(message)
            else:
                self._write(message, data, files)
        elif kind in (DEFERRED_UPDATE, UPDATE):
            interaction.original_id = interaction.source_message_id
            if kind == UPDATE:
                self._write(self._original(interaction), data, files)
        interaction.answered_at, interaction.answer = self.now(), kind
        interaction.answer_data = data
        return interaction

    def _original(self, interaction: Interaction) -> Message:
        return self._there(interaction.original_id)

    def of_interaction(self, token: str, message_id: str) -> Message:
        """`@original`, or a message that this interaction made."""
        interaction = self.interaction(token)
        if message_id == "@original":
            return self._original(interaction)
        if int(message_id) not in (interaction.original_id, *interaction.follow_ups):
            raise unknown_message()
        return self._there(int(message_id))

    def follow_up(self, token: str, body: dict[str, Any], files: list[File]) -> Message:
        """While the original is "thinking", this takes its place (discord-api-docs #2866)."""
        interaction = self.interaction(token)
        if interaction.answered_at is None:
            raise Refused(404, 10015, "Unknown Webhook")
        original = self.messages.get(interaction.original_id or 0)
        if original is not None and original.thinking and not original.deleted:
            return self.edit(original, body, files)
        ephemeral = bool(body.get("flags", 0) & EPHEMERAL)
        message = self._new_message(
            interaction.channel_id, interaction=interaction, ephemeral=ephemeral
        )
        interaction.follow_ups.append(message.id)
        return self._write(message, body, files)

    # Messages.

    def _there(self, message_id: int | None) -> Message:
        message = self.messages.get(message_id or 0)
        if message is None or message.deleted:
            raise unknown_message()
        return message

    def _channel(self, channel_id: int) -> None:
        if channel_id not in (*CHANNELS, *self.direct.values()):
            raise Refused(404, 10003, "Unknown Channel")

    def of_channel(self, channel_id: int, message_id: int) -> Message:
        """As the bot token sees it: ephemeral messages are not there."""
        self._channel(channel_id)
        message = self._there(message_id)
        if message.channel_id != channel_id or message.only_for is not None:
            raise unknown_message()
        return message

    def page(self, channel_id: int, limit: int) -> list[Message]:
        """The newest messages that the bot token sees, newest first."""
        self._channel(channel_id)
        there = [
            message
            for message in self.messages.values()
            if message.channel_id == channel_id and not message.deleted and message.only_for is None
        ]
        return there[: -limit - 1 : -1]

    def direct_channel(self, user_id: int) -> int:
        return self.direct.setdefault(user_id, self.snowflake())

    def post(self, channel_id: int, body: dict[str, Any], files: list[File]) -> Message:
        """By bot token; with `enforce_nonce` a repeated nonce gives the message that is there."""
        self._channel(channel_id)
        if any(self.direct.get(user) == channel_id for user in self.closed_to):
            raise Refused(403, 50007, "Cannot send messages to this user")
        nonce = body.get("nonce")
        if nonce is not None and len(str(nonce)) > 25:
            raise Refused(400, 50035, "Invalid Form Body: nonce")
        if nonce is not None and body.get("enforce_nonce"):
            for message in self.messages.values():
                young = self.now() - message.created_at < NONCE_SECONDS
                if message.nonce == nonce and message.channel_id == channel_id and young:
                    return message
        message = self._new_message(channel_id, nonce=nonce)
        return self._write(message, body, files)

    def edit(self, message: Message, body: dict[str, Any], files: list[File]) -> Message:
        if message.author_id != APPLICATION:
            raise Refused(403, 50005, "Cannot edit a message authored by another user")
        return self._write(message, body, files)

    def delete(self, message: Message) -> None:
        message.deleted = True
        self._remember(message)

    def _new_message(
        self,
        channel_id: int,
        *,
        interaction: Interaction | None = None,
        ephemeral: bool = False,
        nonce: Any = None,
    ) -> Message:
        message = Message(
            id=self.snowflake(),
            channel_id=channel_id,
            author_id=APPLICATION,
            created_at=self.now(),
            only_for=interaction.user_id if interaction and ephemeral else None,
            interaction_id=interaction.id if interaction else None,
            nonce=nonce,
        )
        self.messages[message.id] = message
        return message

    def _write(self, message: Message, body: dict[str, Any], files: list[File]) -> Message:
        """What the body names is replaced; attachments that it lists stay, new ones come."""
        stay = message.files
        if "attachments" in body:
            listed = {int(item["id"]) for item in body["attachments"]}
            stay = [file for file in stay if file.id in listed]
        content = body.get("content", message.content) or ""
        embeds = body.get("embeds", message.embeds) or []
        if not (content or embeds or stay or files):
            raise Refused(400, 50006, "Cannot send an empty message")
        message.content, message.embeds, message.files = content, embeds, [*stay, *files]
        message.components = body.get("components", message.components) or []
        self.uploads.update({file.id: file for file in files})
        message.thinking = False
        self._remember(message)
        return message

    def _remember(self, message: Message) -> None:
        message.versions.append({"at": self.now(), **self.look(message)})

    # What it looks like, to the bot and to people.

    def look(self, message: Message) -> dict[str, Any]:
        """As a person reads it, with the hash of each file."""
        return {
            "id": str(message.id),
            "channel_id": str(message.channel_id),
            "interaction_id": str(message.interaction_id or ""),
            "thinking": message.thinking,
            "ephemeral": message.only_for is not None,
            "deleted": message.deleted,
            "content": message.content,
            "title": message.embeds[0].get("title", "") if message.embeds else "",
            "text": message.embeds[0].get("description", "") if message.embeds else "",
            "custom_ids": _custom_ids(message.components),
            "files": [
                {"filename": f.filename, "sha256": f.sha256, "size_bytes": len(f.data)}
                for f in message.files
            ],
        }

    def seen(self, channel_id: int, user_id: int) -> list[dict[str, Any]]:
        """The channel as this person finds it now, oldest message first."""
        return [
            self.look(message)
            for message in self.messages.values()
            if message.channel_id == channel_id
            and not message.deleted
            and message.only_for in (None, user_id)
        ]

    def message_payload(self, message: Message, base_url: str) -> dict[str, Any]:
        return {
            "id": str(message.id),
            "channel_id": str(message.channel_id),
            "author": user_payload(APPLICATION),
            "content": message.content,
            "timestamp": iso(message.created_at),
            "edited_timestamp": None,
            "tts": False,
            "mention_everyone": False,
            "mentions": [],
            "mention_roles": [],
            "attachments": [
                attachment_payload(file, message.channel_id, base_url) for file in message.files
            ],
            "embeds": message.embeds,
            "components": message.components,
            "pinned": False,
            "type": 0,
            "flags": message.flags,
            "nonce": message.nonce,
            **({"webhook_id": str(APPLICATION)} if message.interaction_id else {}),
            "application_id": str(APPLICATION),
        }


def _custom_ids(components: list[dict[str, Any]]) -> list[str]:
    found = [c["custom_id"] for c in components if "custom_id" in c]
    for component in components:
        found += _custom_ids(component.get("components", []))
    return found


def iso(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).isoformat()


def user_payload(user_id: int) -> dict[str, Any]:
    name = "easel" if user_id == APPLICATION else f"person{user_id}"
    return {
        "id": str(user_id),
        "username": name,
        "discriminator": "0",
        "global_name": name,
        "avatar": None,
        "bot": user_id == APPLICATION,
        "public_flags": 0,
    }


def member_payload(user_id: int) -> dict[str, Any]:
    return {
        "user": user_payload(user_id),
        "roles": [],
        "joined_at": iso(EPOCH_MS / 1000),
        "deaf": False,
        "mute": False,
        "flags": 0,
        "permissions": ALL_PERMISSIONS,
    }


def attachment_payload(file: File, channel_id: int, base_url: str) -> dict[str, Any]:
    url = f"{base_url}/attachments/{channel_id}/{file.id}/{file.filename}"
    return {
        "id": str(file.id),
        "filename": file.filename,
        "size": len(file.data),
        "url": url,
        "proxy_url": url,
        "content_type": f"image/{file.filename.rpartition('.')[2]}",
        **({"description": file.description} if file.description else {}),
    }


def channel_payload(channel_id: int, *, direct: bool = False) -> dict[str, Any]:
    if direct:
        return {"id": str(channel_id), "type": 1, "last_message_id": None, "flags": 0}
    return {
        "id": str(channel_id),
        "type": 0,
        "guild_id": str(GUILD),
        "name": f"pictures-{channel_id}",
        "position": 0,
        "permission_overwrites": [],
        "nsfw": False,
        "topic": None,
        "parent_id": None,
        "last_message_id": None,
        "rate_limit_per_user": 0,
        "permissions": ALL_PERMISSIONS,
        "flags": 0,
    }


def guild_payload() -> dict[str, Any]:
    everyone = {
        "id": str(GUILD),
        "name": "@everyone",
        "color": 0,
        "colors": {"primary_color": 0, "secondary_color": None, "tertiary_color": None},
        "hoist": False,
        "position": 0,
        "permissions": ALL_PERMISSIONS,
        "managed": False,
        "mentionable": False,
        "flags": 0,
    }
    return {
        "id": str(GUILD),
        "name": "Atelier",
        "owner_id": str(OWNER),
        "icon": None,
        "splash": None,
        "discovery_splash": None,
        "banner": None,
        "description": None,
        "afk_channel_id": None,
        "afk_timeout": 300,
        "verification_level": 0,
        "default_message_notifications": 0,
        "explicit_content_filter": 0,
        "mfa_level": 0,
        "nsfw_level": 0,
        "premium_tier": 0,
        "preferred_locale": "en-US",
        "system_channel_id": None,
        "system_channel_flags": 0,
        "rules_channel_id": None,
        "public_updates_channel_id": None,
        "vanity_url_code": None,
        "application_id": None,
        "features": [],
        "emojis": [],
        "stickers": [],
        "roles": [everyone],
        "member_count": 2,
        "large": False,
        "unavailable": False,
        "joined_at": iso(EPOCH_MS / 1000),
        "members": [member_payload(APPLICATION)],
        "channels": [channel_payload(channel) for channel in CHANNELS],
        "threads": [],
        "presences": [],
        "voice_states": [],
        "stage_instances": [],
        "guild_scheduled_events": [],
        "soundboard_sounds": [],
    }
