"""Files: reference images out of Slack, pictures into it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
from slack_sdk.errors import SlackApiError
from slack_sdk.web.async_client import AsyncWebClient

from bot.references import Reader
from bot.references.fetch import Unavailable, download
from bot.showing import PictureReader, RetryLater
from bot.slack.words import clip
from bot.slack.workspaces import error_code, passes
from storage.domain import Attached, CardPicture, Complaint, RawCommand

File = Mapping[str, Any]

READY_TRIES = 12
READY_SECONDS = 0.25
"""A file that was just uploaded is no picture yet for about a second (python-slack-sdk #1658)."""
UPLOAD_SECONDS = 60
ALT_TEXT_LIMIT = 1000

_ENDINGS = {"image/png": "png", "image/jpeg": "jpg"}
FORM = "view"
"""The kind of event with which a form comes back."""
_PATH = re.compile(r"/files-pri/[A-Z0-9]+-([A-Z0-9]+)/[^/]+")
"""Of a file's URL, with its id; docs.slack.dev, "File object"."""
SLACK_APIS = ("slack.com", "slack-gov.com")
SLACK_FILES = ("files.slack.com", "files.slack-gov.com")


def is_picture(file: File) -> bool:
    """By what Slack says. Of a stub (Slack Connect) and of a file without an ending it says
    nothing; who decodes it finds out."""
    mimetype = str(file.get("mimetype") or "")
    unknown = mimetype in ("", "application/octet-stream")
    endless = unknown and "." not in str(file.get("name") or ".")
    stub = file.get("file_access") == "check_file_info"
    return mimetype.startswith("image/") or endless or stub


def shown(message: Mapping[str, Any]) -> list[str]:
    """Pictures that a message shows without having them as files: ids of Slack's files as
    `file:…`, links as `link:…`."""
    parts = [*message.get("attachments", ()), *message.get("blocks", ())]
    parts += [block for part in parts for block in part.get("blocks", ())]
    found: list[str] = []
    for part in parts:
        inside = part.get("slack_file") or {}
        link = part.get("image_url") or inside.get("url") or part.get("thumb_url")
        if inside.get("id"):
            found.append(f"file:{inside['id']}")
        elif str(link or "").startswith("https://"):
            found.append(f"link:{link}")
    return list(dict.fromkeys(found))


def attached(file: File) -> Attached | Complaint:
    """A file of a message or a form, whose bytes are read while the request is taken."""
    if file.get("is_external") or file.get("mode") == "external":
        return _outside().complaint

    size, address = int(file.get("size") or 0), str(file.get("url_private") or "")
    if not address or file.get("file_access") == "check_file_info":
        address = str(file["id"])
    return Attached(name=str(file.get("name") or ""), size_bytes=size, address=address)


def reader(client: AsyncWebClient, asked: RawCommand) -> Reader:
    """Where Slack has not said the URL of a file, it is asked by the file's id. A message shows
    what it brings; what a form names is read only for who may see it from where they asked."""

    async def read(file: Attached) -> bytes:
        url = file.address
        if asked.event.kind == FORM:
            return await _download(client, await _seen(client, file, asked))
        if "/" not in url:
            url = _url(await _info(client, url))
        return await _download(client, url)

    return read


async def _seen(client: AsyncWebClient, file: Attached, asked: RawCommand) -> str:
    """Where the file is, if it is the person's own, or shown in their conversation. Raises
    Unavailable."""
    brought = _PATH.fullmatch(urlsplit(file.address).path)
    try:
        found = await _info(client, brought[1] if brought else file.address)
    except Unseen:
        if brought is None:
            raise
        return file.address  # In none of our conversations: the form alone shows it to us.
    channel, user = asked.place.channel_id, asked.requester.user_id
    if found.get("user") == user or await _shown(client, found, channel, user):
        return _url(found)
    raise Unavailable(
        Complaint(text="That file is not in this conversation. Upload it here, and ask again.")
    )


async def _shown(client: AsyncWebClient, file: File, channel: str, user: str) -> bool:
    """Whether this person sees it in this conversation; a public one is open to everybody."""
    shares: Mapping[str, Any] = file.get("shares") or {}
    if channel in [*_list(file, "channels"), *_list(shares, "public")]:
        return True
    closed = [*_list(file, "groups"), *_list(file, "ims"), *_list(shares, "private")]
    return channel in closed and await _is_in(client, channel, user)


def _list(given: Mapping[str, Any], name: str) -> list[str]:
    return list(given.get(name) or ())


async def _is_in(client: AsyncWebClient, channel: str, user: str) -> bool:
    cursor = None
    try:
        while cursor != "":
            page = await client.conversations_members(channel=channel, limit=1000, cursor=cursor)
            if user in page["members"]:
                return True
            cursor = str((page.get("response_metadata") or {}).get("next_cursor") or "")
    except SlackApiError as error:
        if passes(error):
            raise
    return False


def _url(file: File) -> str:
    return str(file.get("url_private") or "")


async def _info(client: AsyncWebClient, file_id: str) -> File:
    try:
        found: File = (await client.files_info(file=file_id))["file"]
    except SlackApiError as error:
        if passes(error):
            raise
        raise _unseen() from None
    if found.get("is_external") or found.get("mode") == "external":
        raise _outside()
    return found


def _outside() -> Unavailable:
    return Unavailable(
        Complaint(
            text="That file is kept outside of Slack, where I may not fetch it. Upload the picture "
            "itself."
        )
    )


class Unseen(Unavailable):
    """Slack does not show it to us."""


def _unseen() -> Unseen:
    return Unseen(
        Complaint(
            text="I may not see that file. Invite me to the channel where it is, or upload it "
            "again here."
        )
    )


async def _download(client: AsyncWebClient, url: str) -> bytes:
    """At most 10 MiB. The token goes to Slack's own hosts and nowhere else: no other host is
    asked, and no redirect is followed. Raises Unavailable."""
    api, parts = urlsplit(client.base_url), urlsplit(url)
    hosts = SLACK_FILES if api.netloc in SLACK_APIS else (api.netloc,)
    if parts.scheme != api.scheme or parts.netloc not in hosts:
        raise _outside()
    headers = {"Authorization": f"Bearer {client.token}"}
    # Without the right to read it Slack redirects to its page for signing in.
    return await download(url, otherwise=_unseen, headers=headers)


async def begin(client: AsyncWebClient, pictures: Sequence[CardPicture]) -> dict[str, str]:
    """File id → address to upload to. Nobody sees anything of it before `finish`."""
    addresses = {}
    for picture in pictures:
        answer = await client.files_getUploadURLExternal(
            filename=_name(picture),
            length=picture.size_bytes,
            alt_txt=clip(picture.alt_text, ALT_TEXT_LIMIT),
        )
        addresses[str(answer["file_id"])] = str(answer["upload_url"])
    return addresses


async def upload(
    client: AsyncWebClient,
    addresses: Mapping[str, str],
    pictures: Sequence[CardPicture],
    read: PictureReader,
) -> None:
    """Raises RetryLater when Slack does not take the bytes."""
    timeout = aiohttp.ClientTimeout(total=UPLOAD_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        for url, picture in zip(addresses.values(), pictures, strict=True):
            headers = {"Content-Type": picture.media_type}
            async with session.post(url, data=await read(picture), headers=headers) as response:
                if response.status != 200:
                    raise RetryLater


def titles(ids: Sequence[str], pictures: Sequence[CardPicture]) -> list[dict[str, str | None]]:
    """`highlight_type` lets Slack know a picture sooner for one."""
    return [
        {"id": i, "title": _name(p), "highlight_type": _ENDINGS.get(p.media_type, "png")}
        for i, p in zip(ids, pictures, strict=True)
    ]


async def ready(
    client: AsyncWebClient,
    ids: Sequence[str],
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
) -> list[File]:
    """What Slack knows of the files, once they are pictures to it. Empty if one was never
    finished. Raises RetryLater when it takes long."""
    found: list[File] = []
    for file_id in ids:
        for _ in range(READY_TRIES):
            try:
                file: File = (await client.files_info(file=file_id))["file"]
            except SlackApiError as error:
                if error_code(error) in ("file_not_found", "file_deleted"):
                    return []
                raise
            if file.get("mimetype"):
                found.append(file)
                break
            await sleep(READY_SECONDS)
        else:
            raise RetryLater(1.0)
    return found


def shared_at(files: Sequence[File], channel_id: str) -> str:
    """The message that shows these files in the channel; empty if there is none yet."""
    for file in files:
        for places in (file.get("shares") or {}).values():
            for share in places.get(channel_id, ()):
                return str(share["ts"])
    return ""


def _name(picture: CardPicture) -> str:
    ending = _ENDINGS.get(picture.media_type, "png")
    return f"easel-{picture.sha256[:8]}-{picture.index + 1}.{ending}"
