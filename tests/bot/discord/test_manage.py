"""`/easel`: what the people who manage a server choose, and that others cannot."""

import pytest
from simcord import InteractionResult
from simcord.backend.errors import SetupError

from bot.i18n import say
from tests.fakes.discord_world import World, refusal

LOCALES = ["en", "fr", "es"]


def rules(said: InteractionResult) -> dict[str, str]:
    assert said.response is not None
    assert said.response.ephemeral
    return {str(f.name): str(f.value) for f in said.response.embeds[0].fields}


@pytest.mark.parametrize("locale", LOCALES)
async def test_what_holds_without_a_choice(world: World, locale: str) -> None:
    with world.speaking(locale):
        said = await world.mod.slash(world.channel, "easel show")
    shown = rules(said)
    assert shown[say(locale, "Channels")] == say(locale, "All")
    assert shown[say(locale, "State")] == say(locale, "Open for requests")
    assert "100" in shown[say(locale, "Quota")]


async def test_only_managers_have_the_command(world: World) -> None:
    with pytest.raises(SetupError):
        await world.alice.slash(world.channel, "easel pause")


async def test_channels_are_added_and_removed(world: World) -> None:
    other = world.guild.create_text_channel("atelier")
    said = await world.mod.slash(world.channel, "easel channels add", channel=other)
    assert rules(said)["Channels"] == f"<#{other.id}>"
    assert f"<#{other.id}>" in refusal(await world.imagine())
    said = await world.mod.slash(world.channel, "easel channels remove", channel=other)
    assert rules(said)["Channels"] == "All"
    await world.imagine()
    assert len(world.job_ids()) == 1


async def test_pause_and_resume(world: World) -> None:
    said = await world.mod.slash(world.channel, "easel pause")
    assert rules(said)["State"] == "Paused"
    assert "paused" in refusal(await world.imagine())
    said = await world.mod.slash(world.channel, "easel resume")
    assert rules(said)["State"] == "Open for requests"
    await world.imagine()
    assert len(world.job_ids()) == 1


async def test_a_quota_and_back_to_the_default(world: World) -> None:
    said = await world.mod.slash(world.channel, "easel quota", pictures=1)
    assert rules(said)["Quota"] == "1 picture per person and day"
    assert "your limit is 1" in refusal(await world.imagine(count=2))
    said = await world.mod.slash(world.channel, "easel quota")
    assert rules(said)["Quota"] == "100 pictures per person and day"


async def test_a_default_model(world: World) -> None:
    said = await world.mod.slash(world.channel, "easel model", model="builtin")
    assert rules(said)["Default model"] == "builtin"
    said = await world.mod.slash(world.channel, "easel model")
    assert rules(said)["Default model"] == "The bot's own"
    assert "I know: builtin" in refusal(
        await world.mod.slash(world.channel, "easel model", model="dreams")
    )


async def test_models_are_suggested(world: World) -> None:
    choices = await world.mod.autocomplete(world.channel, "easel model", "model", "b")
    assert [choice["value"] for choice in choices] == ["builtin"]
