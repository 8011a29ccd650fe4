"""The least that a Discord bot can do: one command, deferred. `python -m tests.bench.bare_bot`."""

import os

import discord
from discord import app_commands
from discord.gateway import DiscordWebSocket
from discord.http import Route
from yarl import URL


class Bare(discord.Client):
    def __init__(self) -> None:
        super().__init__(intents=discord.Intents(guilds=True))
        self.tree = app_commands.CommandTree(self)

    async def setup_hook(self) -> None:
        @self.tree.command(name="imagine", description="Draw a picture from words")
        @app_commands.describe(prompt="What to draw")
        async def imagine(interaction: discord.Interaction, prompt: str) -> None:
            await interaction.response.defer(thinking=True)

        await self.tree.sync()


def main() -> None:
    Route.BASE = os.environ["EASEL_DISCORD_API_URL"]
    DiscordWebSocket.DEFAULT_GATEWAY = URL(os.environ["EASEL_DISCORD_GATEWAY_URL"])
    Bare().run(os.environ["EASEL_DISCORD_TOKEN"], log_handler=None)


if __name__ == "__main__":
    main()
