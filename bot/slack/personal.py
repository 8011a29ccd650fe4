"""What is one person's own: queue, usage, their data; and App Home, which shows it all."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from slack_sdk.errors import SlackApiError
from sqlalchemy.orm import Session

from bot.core import mine, steer
from bot.core.present import alt_text, shorten
from bot.core.rules import rows
from bot.i18n import format_duration, mark, say, say_n
from bot.slack.blocks import Block, button, mrkdwn, picture, plain, section
from bot.slack.intake import Heard
from bot.slack.words import escape
from bot.slack.workspaces import error_code
from storage import deliveries, export, log, places
from storage.domain import Complaint, JobState, Platform
from storage.log import LogEntry

PROMPT_SHOWN = 80
PICTURES_SHOWN = 5
LANGUAGES = {"en": mark("English"), "fr": mark("French"), "es": mark("Spanish")}


async def queue_blocks(heard: Heard) -> list[Block]:
    line, locale, person = heard.line, heard.locale, heard.account
    now = line.database.clock()
    requests = await line.read(lambda s: mine.queue(s, person, locale, now))
    blocks = [section(f"*{say(locale, 'Your requests')}*")]
    for request in requests:
        entry = request.entry
        prompt = escape(shorten(entry.request.prompt, PROMPT_SHOWN))
        block = section(f"{prompt}\n{request.state}")
        if request.stranded:
            block["accessory"] = button("fetch", str(entry.job_id), say(locale, "Show"))
        elif not (request.held or entry.cancel_requested):
            block["accessory"] = button("drop", str(entry.job_id), say(locale, "Cancel"))
        blocks.append(block)
    if not requests:
        blocks.append(section(say(locale, "Nothing of yours is waiting.")))
    return blocks


async def show_queue(heard: Heard) -> None:
    await heard.tell(say(heard.locale, "Your requests"), await queue_blocks(heard))


async def usage_blocks(heard: Heard) -> list[Block]:
    line, locale, team, person = heard.line, heard.locale, heard.team_id, heard.account
    now = line.database.clock()
    used = await line.read(lambda s: mine.used(s, line.settings, person, team, now))
    texts = [
        f"*{say(locale, 'Your usage')}*",
        say_n(locale, "{n} picture today.", "{n} pictures today.", used.pictures_today),
        say(locale, "You have {left} left until midnight UTC.", left=used.pictures_left),
    ]
    for entry in used.recent:
        spent = format_duration(locale, entry.device_seconds)
        prompt = escape(shorten(entry.request.prompt, PROMPT_SHOWN))
        texts.append(say(locale, "• {prompt}: drawn in {duration}", prompt=prompt, duration=spent))
    return [section("\n".join(texts))]


async def show_usage(heard: Heard) -> None:
    await heard.tell(say(heard.locale, "Your usage"), await usage_blocks(heard))


def privacy_blocks(heard: Heard) -> list[Block]:
    locale, user = heard.locale, heard.user_id
    text = say(locale, mine.FORGETS, days=heard.line.settings.blocked_kept_days)
    # The button names the person, so nobody else's press could mean them.
    buttons = [
        button("export", user, say(locale, "Send me all that is stored")),
        button("forget", user, say(locale, "Delete everything"), danger=True),
    ]
    return [section(text), {"type": "actions", "elements": buttons}]


async def show_privacy(heard: Heard) -> None:
    title = say(heard.locale, "See or delete what is stored about you")
    await heard.tell(title, privacy_blocks(heard))


async def send_all(heard: Heard) -> None:
    """Everything that is stored about the person, as files in their direct messages."""
    locale, user = heard.locale, heard.user_id
    files = await heard.app.privacy.export(heard.account, heard.raw.place.upload_limit_bytes)
    if isinstance(files, Complaint):
        await heard.complain(files)
        return
    opened = await heard.client.conversations_open(users=user)
    comment = say(locale, "All that is stored about you. Pictures are named by their hash.")
    for name, data in zip(export.names(len(files)), files, strict=True):
        await heard.client.files_upload_v2(
            channel=opened["channel"]["id"],
            filename=name,
            content=data.decode(),
            initial_comment=comment,
        )
        comment = ""


async def forget_me(heard: Heard) -> None:
    remains = await heard.app.privacy.forget(heard.account)
    if isinstance(remains, Complaint):
        await heard.complain(remains)
    else:
        await heard.tell(mine.forgotten(heard.locale, remains))


async def publish_home(heard: Heard) -> None:
    """Queue, quota, newest pictures, settings and language of one person."""
    blocks: list[Block] = [
        {"type": "header", "text": plain("Easel", 150)},
        {
            "type": "actions",
            "elements": [button("draw", "home", say(heard.locale, "Draw a picture"))],
        },
        *await queue_blocks(heard),
        {"type": "divider"},
        *await usage_blocks(heard),
        {"type": "divider"},
        *await settings_blocks(heard),
        *_languages_and_looks(heard),
        *privacy_blocks(heard),
    ]
    pictures = await _pictures(heard)
    try:
        await _publish(heard, [*blocks, {"type": "divider"}, *pictures] if pictures else blocks)
    except SlackApiError as error:
        # One picture that is gone from Slack must not take the whole page along.
        if error_code(error) not in ("invalid_arguments", "invalid_blocks"):
            raise
        await _publish(heard, blocks)


async def _publish(heard: Heard, blocks: Sequence[Block]) -> None:
    view = {"type": "home", "blocks": list(blocks)[:100]}
    await heard.client.views_publish(user_id=heard.user_id, view=view)


async def settings_blocks(heard: Heard) -> list[Block]:
    """The rules of the workspace; who may change them finds a button."""
    line, locale, team = heard.line, heard.locale, heard.team_id
    rules = await line.read(lambda s: places.rules(s, Platform.SLACK, team))
    said = rows(locale, rules, line.settings.daily_pictures, quote=partial(escape, limit=300))
    title = f"*{say(locale, 'Settings of this workspace')}*"
    blocks = [section("\n".join([title, *(f"*{name}:* {value}" for name, value in said)]))]
    if heard.manages:
        change = button("settings", "workspace", say(locale, "Change"))
        blocks.append({"type": "actions", "elements": [change]})
    return blocks


async def show_settings(heard: Heard) -> None:
    title = say(heard.locale, "Settings of this workspace")
    await heard.tell(title, await settings_blocks(heard))


def _languages_and_looks(heard: Heard) -> list[Block]:
    line, locale = heard.line, heard.locale
    known = (
        (say(locale, "Models"), escape(", ".join(line.catalog.models), 500)),
        (say(locale, "Styles"), escape(", ".join(line.catalog.styles), 500) or "–"),
        (say(locale, "Language"), say(locale, LANGUAGES[locale])),
    )
    text = "\n".join(f"*{name}:* {value}" for name, value in known)
    note = say(locale, "I speak the language of your Slack settings: English, French or Spanish.")
    return [section(text), {"type": "context", "elements": [mrkdwn(note)]}]


async def _pictures(heard: Heard) -> list[Block]:
    person = heard.account

    def look(session: Session) -> list[tuple[LogEntry, str]]:
        made = [
            entry
            for entry in log.page(session, user=person, limit=4 * PICTURES_SHOWN)
            if entry.state is JobState.MADE and steer.shown_pictures(entry)
        ]
        found = []
        for entry in made[:PICTURES_SHOWN]:
            delivery = deliveries.get(session, entry.job_id)
            files = (delivery.address.get("files", "") if delivery else "").split()
            if delivery and delivery.shown_pictures and files:
                found.append((entry, files[0]))
        return found

    found = await heard.line.read(look)
    blocks = [section(f"*{say(heard.locale, 'Your pictures')}*")] if found else []
    for entry, file_id in found:
        blocks.append(section(escape(shorten(entry.request.prompt, PROMPT_SHOWN))))
        blocks.append(picture(file_id, alt_text(entry)))
    return blocks
