"""`/imagine`: from the command to the picture in the conversation."""

from tests.fakes.discord_world import World


async def test_a_command_becomes_a_picture(world: World) -> None:
    said = await world.imagine("a red apple")
    assert said.deferred
    assert not said.ephemeral

    await world.deliver()
    assert said.response is not None
    assert said.response.embeds[0].title == "Waiting"

    world.painter.paint()
    await world.deliver()
    card = said.response
    assert card.embeds[0].title == "a red apple"
    assert len(card.attachments) == 1
    assert card.attachments[0].description == (
        "Picture drawn by a machine from the words: a red apple"
    )
