"""Modals: edit a prompt, use any picture as a reference; also when a restart came in between."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import discord
import pytest
from simcord import InteractionResult

from bot.core.steer import FROM_OURS, FROM_REFERENCE, REST_STAYS
from bot.discord.modals import pictures_of
from bot.i18n import say
from storage.domain import Attached, Linked, Mode, ReferenceUse
from storage.settings import Settings
from tests.fakes.discord_world import World, button, refusal
from tests.fakes.painter import png

LOCALES = ["en", "fr", "es"]


async def open_editor(world: World, said: InteractionResult) -> InteractionResult:
    assert said.response is not None
    custom_id = button(said.response.components, "edit")
    return await world.alice.click(said.response, custom_id=custom_id)


def boxes(shown: InteractionResult) -> dict[str, dict[str, Any]]:
    assert shown.modal is not None
    return {c["component"]["custom_id"]: c["component"] for c in shown.modal["components"]}


@pytest.mark.parametrize("locale", LOCALES)
async def test_the_editor_holds_what_was_asked(world: World, locale: str) -> None:
    said = await world.drawn("a red apple", negative="leaf", seed=7)
    with world.speaking(locale):
        shown = await open_editor(world, said)
    assert shown.modal is not None
    assert shown.modal["title"] == say(locale, "Edit prompt")
    text = boxes(shown)["prompt"]["value"]
    assert text.startswith("a red apple --no leaf")
    assert "--seed 7" in text


@pytest.mark.parametrize("restarted", [False, True])
async def test_an_edited_prompt_is_a_new_request(
    world: World, settings: Settings, restarted: bool
) -> None:
    said = await world.drawn("a red apple")
    shown = await open_editor(world, said)
    if restarted:
        await world.restart(settings)
    heard = await world.alice.submit_modal(shown, {"prompt": "a green apple --seed 3"})
    world.painter.paint()
    await world.deliver()
    assert heard.response is not None
    assert heard.response.embeds[0].title == "a green apple"
    assert (world.entry.request.prompt, world.entry.request.seed) == ("a green apple", 3)
    assert len(world.channel.history()) == 2


async def test_the_edit_keeps_reference_and_mask(world: World) -> None:
    said = await world.drawn(reference=("r.png", png(1)), mask=("m.png", png(2)), use="edit")
    shown = await open_editor(world, said)
    await world.alice.submit_modal(shown, {"prompt": boxes(shown)["prompt"]["value"]})
    new, old = world.entries()
    assert new.request.reference == old.request.reference
    assert new.request.mode is Mode.INPAINT


LONG = {"prompt": "a red apple " * 166, "negative": ", ".join(f"worm {n:03}" for n in range(200))}


@pytest.mark.parametrize("locale", LOCALES)
async def test_what_is_too_long_for_the_form_stays_as_it_was(world: World, locale: str) -> None:
    """CASES A7."""
    options = {"seed": 7, "style": "sketch", "aspect": "3:2", "steps": 9, "guidance": 3.5}
    said = await world.drawn(LONG["prompt"], negative=LONG["negative"], count=2, **options)
    with world.speaking(locale):
        shown = await open_editor(world, said)
    assert shown.modal is not None
    [label] = shown.modal["components"]
    assert label["description"] == say(locale, REST_STAYS)
    assert boxes(shown)["prompt"]["value"] == LONG["prompt"].strip()
    await world.alice.submit_modal(shown, {"prompt": "a green apple --seed 8"})
    new, old = world.entries()
    assert new.request == replace(old.request, prompt="a green apple", seed=8)
    await world.alice.submit_modal(await open_editor(world, said), {"prompt": "a fig --no sugar"})
    assert world.entry.request.negative_prompt == "sugar"


@pytest.mark.parametrize("locale", LOCALES)
async def test_the_form_says_what_the_picture_comes_from(world: World, locale: str) -> None:
    """CASES A8: and lets who asked drop it."""
    brought = await world.drawn(reference=("r.png", png(1)))
    assert brought.response is not None
    custom_id = button(brought.response.components, "vary")
    varied = await world.alice.click(brought.response, custom_id=custom_id)
    world.painter.paint()
    await world.deliver()
    for said, remark in ((brought, FROM_REFERENCE), (varied, FROM_OURS)):
        with world.speaking(locale):
            shown = await open_editor(world, said)
        assert shown.modal is not None
        assert shown.modal["components"][0]["description"] == say(locale, remark)
        text = boxes(shown)["prompt"]["value"].replace("--use restyle", "--use none")
        await world.alice.submit_modal(shown, {"prompt": text})
        request = world.entry.request
        assert (request.mode, request.parent_sha256) == (Mode.TEXT_TO_IMAGE, None)


async def test_a_long_prompt_of_a_picture_from_a_picture(world: World) -> None:
    said = await world.drawn(
        LONG["prompt"], negative=LONG["negative"], reference=("r.png", png(1)), strength=0.3
    )
    shown = await open_editor(world, said)
    assert shown.modal is not None
    assert [c["type"] for c in shown.modal["components"]] == [10, 18], "remark and label"
    [old] = world.entries()
    await world.alice.submit_modal(shown, {"prompt": "a fig"})
    assert world.entry.request == replace(old.request, prompt="a fig")
    again = await open_editor(world, said)
    await world.alice.submit_modal(again, {"prompt": "a fig --use none"})
    assert world.entry.request.mode is Mode.TEXT_TO_IMAGE


@pytest.mark.parametrize("remark", [REST_STAYS, FROM_OURS, FROM_REFERENCE])
def test_remarks_are_not_cut(remark: str) -> None:
    assert all(len(say(locale, remark)) <= 100 for locale in LOCALES)


async def test_an_edit_of_a_private_request_stays_private(world: World) -> None:
    said = await world.drawn(private=True)
    shown = await open_editor(world, said)
    heard = await world.alice.submit_modal(shown, {"prompt": "a green apple"})
    assert heard.ephemeral
    assert world.entry.request.private


@pytest.mark.parametrize("given", [{}, {"mask": ("m.png", png(2))}])
async def test_an_edit_of_what_was_refused_with_a_reference_asks_for_it(
    world: World, given: dict[str, Any]
) -> None:
    """What is blocked is not fetched, and the words alone would be another picture."""
    said = await world.imagine("a nude child", reference=("r.png", png(1)), **given)
    await world.deliver()
    shown = await open_editor(world, said)
    text = boxes(shown)["prompt"]["value"]
    heard = await world.alice.submit_modal(shown, {"prompt": text.replace("nude child", "cat")})
    assert "are about a reference image, and there is none" in refusal(heard)
    assert len(world.job_ids()) == 1
    shown = await open_editor(world, said)
    await world.alice.submit_modal(shown, {"prompt": "a cat"})
    assert world.entry.request.mode is Mode.TEXT_TO_IMAGE, "who wants that can have it"
    assert world.entry.request.parent_sha256 is None


@pytest.mark.parametrize("locale", LOCALES)
async def test_a_wrong_edit_is_told_in_private(world: World, locale: str) -> None:
    said = await world.drawn()
    with world.speaking(locale):
        shown = await open_editor(world, said)
        heard = await world.alice.submit_modal(shown, {"prompt": "--seed 3"})
    sentence = "Say what I should draw, for example: a red fox in the snow."
    assert refusal(heard) == say(locale, sentence)


async def test_a_refused_prompt_is_not_opened_by_others(world: World) -> None:
    said = await world.imagine("a nude child")
    await world.deliver()
    assert said.response is not None
    custom_id = button(said.response.components, "edit")
    stranger = await world.bob.click(said.response, custom_id=custom_id)
    assert stranger.modal is None
    assert "Only who asked" in refusal(stranger)


async def bring(world: World, *files: tuple[str, bytes]) -> Any:
    return await world.bob.send(world.channel, "look", attachments=files)


async def use(world: World, message: Any) -> InteractionResult:
    return await world.alice.context_menu(world.channel, "Use as reference", message)


async def test_any_picture_in_the_conversation_is_a_reference(world: World) -> None:
    shown = await use(world, await bring(world, ("cat.png", png(5))))
    heard = await world.alice.submit_modal(shown, {"prompt": "a red apple", "strength": "0.4"})
    world.painter.paint()
    await world.deliver()
    assert heard.response is not None
    assert heard.response.embeds[0].title == "a red apple"
    request = world.entry.request
    assert request.reference is not None
    assert request.reference.use is ReferenceUse.RESTYLE
    assert request.strength == 0.4


async def test_a_picture_without_a_file_ending(world: World) -> None:
    """CASES G9: Discord then does not say what it is."""
    shown = await use(world, await bring(world, ("cat", png(5))))
    await world.alice.submit_modal(shown, {"prompt": "a red apple"})
    assert world.entry.request.mode is Mode.IMAGE_TO_IMAGE


def test_pictures_inside_embeds() -> None:
    """CASES G9: by Discord's own copy, and where there is none by the link, which has to be on the
    list."""
    proxied = {
        "url": "https://a.example/b.png",
        "proxy_url": "https://images-ext-1.discordapp.net/x",
    }
    elsewhere = {"url": "https://i.imgur.com/b.png", "proxy_url": "https://evil.example/x"}
    embeds = [{"image": proxied}, {"thumbnail": elsewhere}, {"title": "words"}]
    message = SimpleNamespace(
        attachments=[],
        embeds=[discord.Embed.from_dict(e) for e in embeds],  # type: ignore[arg-type]
    )
    assert pictures_of(message) == [  # type: ignore[arg-type]
        Attached(name="x", size_bytes=0, address=proxied["proxy_url"]),
        Linked(url=elsewhere["url"]),
    ]


async def test_of_several_pictures_one_is_chosen(world: World) -> None:
    message = await bring(world, ("a.png", png(5)), ("b.png", png(6)))
    shown = await use(world, message)
    options = [option["value"] for option in boxes(shown)["source"]["options"]]
    await world.alice.submit_modal(shown, {"prompt": "a red apple", "source": [options[1]]})
    reference = world.entry.request.reference
    assert reference is not None
    other = await use(world, message)
    await world.alice.submit_modal(other, {"prompt": "a red apple", "source": [options[0]]})
    assert world.entry.request.reference != reference


@pytest.mark.parametrize("restarted", [False, True])
async def test_our_own_picture_is_taken_from_the_store(
    world: World, settings: Settings, restarted: bool
) -> None:
    said = await world.drawn()
    assert said.response is not None
    shown = await use(world, said.response)
    if restarted:
        await world.restart(settings)
    await world.alice.submit_modal(shown, {"prompt": "a green apple"})
    reference = world.entry.request.reference
    assert reference is not None
    assert world.line.blobs.get(reference.sha256)


async def test_our_own_picture_that_somebody_has_made_again_privately(world: World) -> None:
    said = await world.drawn("a red apple --seed 7")
    await world.drawn("a red apple --seed 7", private=True, who=world.bob)
    assert said.response is not None
    shown = await use(world, said.response)
    heard = await world.alice.submit_modal(shown, {"prompt": "a green apple"})
    assert len(world.job_ids()) == 3, refusal(heard)


async def test_a_brought_picture_that_a_restart_lost(world: World, settings: Settings) -> None:
    shown = await use(world, await bring(world, ("cat.png", png(5))))
    await world.restart(settings)
    heard = await world.alice.submit_modal(shown, {"prompt": "a red apple"})
    assert "I have been restarted since" in refusal(heard)
    assert not world.job_ids()


async def test_a_wrong_strength_is_told(world: World) -> None:
    shown = await use(world, await bring(world, ("cat.png", png(5))))
    heard = await world.alice.submit_modal(shown, {"prompt": "an apple", "strength": "much"})
    assert "--strength" in refusal(heard)


@pytest.mark.parametrize("locale", LOCALES)
async def test_a_message_without_a_picture(world: World, locale: str) -> None:
    message = await bring(world, ("notes.txt", b"words"))
    with world.speaking(locale):
        heard = await use(world, message)
    sentence = "There is no picture in that message. I can use PNG, JPEG and WebP."
    assert refusal(heard) == say(locale, sentence)


async def test_details_of_a_message(world: World) -> None:
    said = await world.drawn("a red apple")
    assert said.response is not None
    heard = await world.bob.context_menu(world.channel, "Picture details", said.response)
    assert heard.response is not None
    assert heard.response.ephemeral
    assert heard.response.embeds[0].fields[0].value == "a red apple"
    other = await bring(world, ("cat.png", png(5)))
    nothing = await world.bob.context_menu(world.channel, "Picture details", other)
    assert "no picture of mine" in refusal(nothing)


@pytest.mark.parametrize("private", [True, False])
async def test_a_forged_modal_reaches_no_private_picture(world: World, private: bool) -> None:
    """A client can send any custom id that it likes."""
    await world.drawn("a red apple", private=private)
    sha256 = world.entry.pictures[0].sha256
    message = await bring(world, ("cat.png", png(5)))
    shown = await world.bob.context_menu(world.channel, "Use as reference", message)
    spec = shown._interaction.modal
    assert spec is not None
    spec["custom_id"] = f"easel:reference:kept:{sha256}"
    heard = await world.bob.submit_modal(shown, {"prompt": "a green apple"})
    if private:
        assert "Only who asked" in refusal(heard)
    else:
        assert world.entry.request.prompt == "a green apple"


async def test_what_somebody_else_brought_is_not_to_be_had(world: World) -> None:
    message = await bring(world, ("cat.png", png(5)))
    mine = await use(world, message)
    theirs = await world.bob.context_menu(
        world.channel, "Use as reference", await bring(world, ("dog.png", png(6)))
    )
    assert mine.modal is not None
    spec = theirs._interaction.modal
    assert spec is not None
    spec["custom_id"] = mine.modal["custom_id"]
    heard = await world.bob.submit_modal(theirs, {"prompt": "a red apple"})
    assert "lost that picture" in refusal(heard)


@pytest.mark.parametrize("custom_id", ["easel:edit:nonsense", "easel:reference:", "other"])
async def test_an_unknown_modal_is_nobodys(world: World, custom_id: str) -> None:
    shown = await use(world, await bring(world, ("cat.png", png(5))))
    spec = shown._interaction.modal
    assert spec is not None
    spec["custom_id"] = custom_id
    await world.alice.submit_modal(shown, {"prompt": "a red apple"})
    assert not world.job_ids()
