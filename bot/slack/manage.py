"""What owners and administrators choose for their workspace: the form behind "Change"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from slack_bolt.context.ack.async_ack import AsyncAck
from slack_bolt.context.async_context import AsyncBoltContext

from bot.i18n import mark, say
from bot.slack import personal
from bot.slack.acts import Act
from bot.slack.blocks import Block
from bot.slack.inputs import channels_box, input_block, named, number_box, option, select
from bot.slack.intake import Heard, raw_command, take
from bot.slack.modals import acknowledge
from storage import places
from storage.domain import Complaint, Platform
from storage.places import WorkspaceRules

if TYPE_CHECKING:
    from bot.slack.app import Easel

FORM = "easel:settings"
MOST_PICTURES = 100_000
OPEN, PAUSED, OWN = "open", "paused", "-"
"""Values of options; OWN is the bot's own model, and no name of one."""
LABELS = {
    "state": mark("State"),
    "channels": mark("Channels"),
    "model": mark("Default model"),
    "quota": mark("How many pictures one person may ask for in a day"),
}
FORBIDDEN = Complaint(text="Only owners and administrators of the workspace may change this.")


def register(app: Easel) -> None:
    async def submitted(ack: AsyncAck, context: AsyncBoltContext, view: Mapping[str, Any]) -> None:
        about = json.loads(view["private_metadata"])
        raw = raw_command(
            context,
            "view",
            str(view["id"]),
            "rules",
            channel_id=about["channel"],
            thread_ts=about["thread"],
            options=_chosen(view["state"]["values"]),
        )
        await take(app, raw, partial(acknowledge, ack, "state"))

    app.view(FORM)(submitted)


def _chosen(values: Mapping[str, Any]) -> dict[str, str]:
    """What the form says, as it can be written down."""
    state, model = (values[name][name]["selected_option"]["value"] for name in ("state", "model"))
    channels = values["channels"]["channels"].get("selected_conversations") or ()
    quota = values["quota"]["quota"].get("value")
    return {
        "state": str(state),
        "model": str(model),
        "channels": " ".join(channels),
        "quota": "" if quota is None else str(quota),
    }


async def open_form(heard: Heard) -> None:
    """With the rules as they are now."""
    if not heard.manages:
        await heard.complain(FORBIDDEN)
        return
    locale, team = heard.locale, heard.team_id
    rules = await heard.line.read(lambda s: places.rules(s, Platform.SLACK, team))
    await heard.open_form(FORM, say(locale, "Settings"), say(locale, "Save"), _blocks(heard, rules))


def _blocks(heard: Heard, rules: WorkspaceRules) -> list[Block]:
    locale = heard.locale
    states = [
        option(say(locale, "Open for requests"), OPEN),
        option(say(locale, "Paused"), PAUSED),
    ]
    models = [option(say(locale, "The bot's own"), OWN), *named(list(heard.line.catalog.models))]
    everywhere = say(locale, "Where I may draw; without a list, everywhere")
    own = say(locale, "Leave it out to go back to the bot's own")
    quota = number_box(0, MOST_PICTURES, rules.daily_pictures)
    return [
        _input(locale, "state", select(states, PAUSED if rules.paused else OPEN)),
        _input(locale, "channels", channels_box(rules.channels), optional=True, hint=everywhere),
        _input(locale, "model", select(models, rules.default_model or OWN)),
        _input(locale, "quota", quota, optional=True, hint=own),
    ]


def _input(
    locale: str, name: str, element: Block, *, optional: bool = False, hint: str = ""
) -> Block:
    return input_block(name, say(locale, LABELS[name]), element, optional=optional, hint=hint)


async def _change(heard: Heard) -> bool:
    """Save what the form says, and show what holds now."""
    if not heard.manages:
        await heard.complain(FORBIDDEN)
        return False
    team, said = heard.team_id, {name: str(value) for name, value in heard.raw.options.items()}
    quota = said["quota"]

    def chosen(rules: WorkspaceRules) -> WorkspaceRules:
        return replace(
            rules,
            channels=tuple(said["channels"].split()),
            default_model=None if said["model"] == OWN else said["model"],
            daily_pictures=min(max(int(quota), 0), MOST_PICTURES) if quota else None,
            paused=said["state"] == PAUSED,
        )

    await heard.line.write(lambda s: places.change(s, Platform.SLACK, team, chosen))
    if heard.channel_id:
        await personal.show_settings(heard)
    else:
        await personal.publish_home(heard)
    return False


ACTS: Mapping[str, Act] = {"rules": _change}
