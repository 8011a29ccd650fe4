"""`easel discord`: the chat client, with the deliverer and the reaper beside it."""

import asyncio

from bot.deliver import Deliverer
from bot.discord.app import create_bot
from bot.discord.show import DiscordShow
from bot.reaper import Reaper
from storage.settings import Settings


async def serve(settings: Settings) -> int:
    """Until cancelled. Raises discord.LoginFailure when the token is wrong."""
    if settings.discord_token is None:
        raise ValueError("there is no Discord token in the settings")
    bot = create_bot(settings)
    async with bot:
        await bot.login(settings.discord_token.get_secret_value())
        async with asyncio.TaskGroup() as group:
            group.create_task(Deliverer(bot.line, DiscordShow(bot)).run())
            group.create_task(Reaper(bot.line).run())
            group.create_task(bot.connect())
    return 0
