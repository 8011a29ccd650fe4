"""Buttons and the picture select. Their custom ids say everything, so they outlive a restart."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

import discord
from discord import ui

from bot.core import steer
from bot.discord.intake import Interaction, apologise, raw_command
from bot.i18n import say
from storage.domain import Card, RawCommand

JOB = r"(?P<job>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})"
PICK = "pick"


@dataclass(frozen=True, kw_only=True)
class Press:
    """Somebody pressed a button, or chose an action of the picture select."""

    interaction: Interaction
    action: str
    job_id: UUID
    picture: int

    @property
    def key(self) -> str:
        """The same for a second press of the same button by the same person."""
        message = self.interaction.message
        where = message.id if message else self.interaction.id
        return f"{where}:{self.action}:{self.job_id}:{self.picture}:{self.interaction.user.id}"

    def command(self, *, private: bool = False, thinking: bool = True) -> RawCommand:
        """Who presses the same button twice asks for one thing."""
        return raw_command(
            self.interaction,
            self.action,
            about=f"{self.job_id}:{self.picture}",
            press=self.key,
            private=private,
            thinking=thinking,
        )

    @property
    def is_private(self) -> bool:
        """Whether the message with the button is seen by one person only."""
        message = self.interaction.message
        return message is not None and message.flags.ephemeral


Handler = Callable[[Press], Awaitable[None]]
_HANDLERS: dict[str, Handler] = {}


def on(*actions: str) -> Callable[[Handler], Handler]:
    """Register what these actions do."""

    def register(handler: Handler) -> Handler:
        _HANDLERS.update(dict.fromkeys(actions, handler))
        return handler

    return register


async def _handle(interaction: Interaction, action: str, job_id: UUID, picture: int) -> None:
    press = Press(interaction=interaction, action=action, job_id=job_id, picture=picture)
    handler = _HANDLERS.get(action)
    if handler is None:
        return
    try:
        await handler(press)
    except Exception:
        await apologise(interaction)
        raise


class CardButton(
    ui.DynamicItem[ui.Button[Any]],
    template=rf"easel:(?P<action>(?!{PICK}:)[a-z]+):{JOB}(?::(?P<picture>\d{{1,2}}))?",
):
    """`easel:<action>:<job>[:<picture>]`."""

    def __init__(
        self,
        action: str,
        job_id: UUID,
        *,
        label: str = "",
        picture: int | None = None,
        danger: bool = False,
    ) -> None:
        self._action, self._job_id, self._picture = action, job_id, picture
        tail = "" if picture is None else f":{picture}"
        super().__init__(
            ui.Button(
                label=label[:80],
                style=discord.ButtonStyle.danger if danger else discord.ButtonStyle.secondary,
                custom_id=f"easel:{action}:{job_id}{tail}",
            )
        )

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        picture = match["picture"]
        return cls(match["action"], UUID(match["job"]), picture=int(picture) if picture else None)

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        await _handle(interaction, self._action, self._job_id, self._picture or 0)


class PictureSelect(ui.DynamicItem[ui.Select[Any]], template=rf"easel:{PICK}:{JOB}"):
    """What a button does to one picture, for cards that show several."""

    def __init__(
        self, job_id: UUID, *, placeholder: str = "", options: list[discord.SelectOption]
    ) -> None:
        custom_id = f"easel:{PICK}:{job_id}"
        super().__init__(
            ui.Select(custom_id=custom_id, placeholder=placeholder or None, options=options)
        )
        self._job_id = job_id

    @classmethod
    async def from_custom_id(
        cls, interaction: discord.Interaction[Any], item: ui.Item[Any], match: re.Match[str], /
    ) -> Self:
        return cls(UUID(match["job"]), options=getattr(item, "options", []))

    async def callback(self, interaction: discord.Interaction[Any]) -> None:
        action, _, picture = self.item.values[0].partition(":")
        target = steer.target(f"{self._job_id}:{picture}")
        await _handle(interaction, action, target.job_id, target.picture)


def card_view(card: Card) -> ui.View:
    """A card's buttons; what is about one of several pictures goes into a select."""
    view = ui.View(timeout=None)
    several = len(card.pictures) > 1
    options = []
    for button in card.buttons:
        if several and button.picture is not None:
            value = f"{button.action}:{button.picture}"
            options.append(discord.SelectOption(label=button.label[:100], value=value))
        else:
            view.add_item(
                CardButton(
                    button.action,
                    card.job_id,
                    label=button.label,
                    picture=button.picture,
                    danger=button.danger,
                )
            )
    if options:
        words = say(card.locale, "Vary or enlarge one of the pictures")
        view.add_item(PictureSelect(card.job_id, placeholder=words, options=options[:25]))
    return view
