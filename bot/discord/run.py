"""`easel discord`: the chat client, with the deliverer and the reaper beside it."""

import asyncio

from discord import ConnectionClosed, LoginFailure

from bot.deliver import Deliverer
from bot.discord.app import Easel, create_bot
from bot.discord.errors import OPERATORS
from bot.discord.show import DiscordShow
from bot.reaper import Reaper
from bot.watch import watched
from storage import metrics, troubles
from storage.domain import Platform
from storage.health import WELL
from storage.settings import Settings

AUTHENTICATION_FAILED = 4004
"""The gateway's close code for a bad token (Discord: Opcodes and Status Codes)."""


async def serve(settings: Settings) -> int:
    """Until cancelled. Raises discord.LoginFailure when the token is wrong, or was revoked."""
    if settings.discord_token is None:
        raise ValueError("there is no Discord token in the settings")
    bot = create_bot(settings)
    metrics.GATEWAY_CONNECTED.labels("discord").set_function(lambda: is_connected(bot))

    def gateway() -> str:
        return WELL if is_connected(bot) else "not connected to Discord"

    cards = troubles.shows(bot.line.database, Platform.DISCORD, OPERATORS)
    with watched(bot.line, gateway=gateway, cards=cards):
        async with bot:
            await bot.login(settings.discord_token.get_secret_value())
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(Deliverer(bot.line, DiscordShow(bot)).run())
                    group.create_task(Reaper(bot.line).run())
                    group.create_task(bot.inbox.run())
                    group.create_task(bot.connect())
            except ExceptionGroup as ended:
                if ended.subgroup(_refuses_the_token):
                    raise LoginFailure("the token was revoked") from ended
                raise
    return 0


def _refuses_the_token(error: BaseException) -> bool:
    return isinstance(error, ConnectionClosed) and error.code == AUTHENTICATION_FAILED


def is_connected(bot: Easel) -> bool:
    """discord.py closes a connection whose heartbeats go unanswered for a minute."""
    return bot.is_ready() and bot.ws.open
