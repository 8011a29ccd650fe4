"""References out of Slack: the token goes to Slack's own hosts, and to no other."""

from collections.abc import Iterator
from typing import Any

import pytest

from bot.references import Unavailable
from bot.slack.files import attached, is_picture, reader, shown
from bot.slack.workspaces import web_client
from storage.domain import Attached, Complaint
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.elsewhere import Elsewhere, answering
from tests.fakes.painter import png
from tests.fakes.slack_client import BOT_TOKEN, FakeSlack

ELEVEN_MIB = 11 * 2**20


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with answering() as server:
        yield server


async def read(settings: Settings, **file: Any) -> bytes:
    source = attached({"id": "F1", "name": "a.png", **file})
    assert isinstance(source, Attached)
    return await reader(web_client(settings, BOT_TOKEN))(source)


async def test_a_file_is_read(settings: Settings, slack: FakeSlack) -> None:
    file_id = slack.file("sketch.png", png(3))
    assert await read(settings, id=file_id) == png(3)


@pytest.mark.parametrize(
    "url",
    [
        "{elsewhere}/a.png",
        "http://localhost:{port}/a.png",
        "{api}@127.0.0.1:{port}/a.png",
        "https://files.slack.com.evil.example/a.png",
        "https://files.slack.com/a.png",
        "file:///etc/passwd",
        "//files.slack.com/a.png",
    ],
)
async def test_no_other_host_is_asked(
    settings: Settings, slack: FakeSlack, elsewhere: Elsewhere, url: str
) -> None:
    port = elsewhere.server_port
    url = url.format(elsewhere=elsewhere.url, port=port, api=slack.url)
    with pytest.raises(Unavailable):
        await read(settings, url_private=url)
    assert elsewhere.asked == []


@pytest.mark.parametrize(
    "url",
    ["https://evil.example/a.png", "http://files.slack.com/a.png", "https://slack.com/a.png"],
)
async def test_of_the_real_slack_only_its_files(settings: Settings, url: str) -> None:
    real = make_settings(settings.data_folder, slack_bot_token=BOT_TOKEN)
    with pytest.raises(Unavailable) as refused:
        await read(real, url_private=url)
    assert "outside of Slack" in str(refused.value)


async def test_no_redirect_is_followed(settings: Settings) -> None:
    with answering(302) as server:
        local = make_settings(settings.data_folder, slack_api_url=f"{server.url}/api/")
        with pytest.raises(Unavailable) as refused:
            await read(local, url_private=f"{server.url}/a.png")
    assert "I may not see that file" in str(refused.value)
    assert server.asked == [f"Bearer {BOT_TOKEN}"]


async def test_a_file_that_is_larger_than_slack_said(settings: Settings) -> None:
    with answering(body=bytes(ELEVEN_MIB)) as server:
        local = make_settings(settings.data_folder, slack_api_url=f"{server.url}/api/")
        with pytest.raises(Unavailable) as refused:
            await read(local, url_private=f"{server.url}/a.png", size=10)
    assert "larger than" in str(refused.value)


@pytest.mark.parametrize("given", [{"is_external": True}, {"mode": "external"}])
async def test_files_kept_elsewhere_are_refused(given: dict[str, Any]) -> None:
    url = "https://drive.example/a.png"
    source = attached({"id": "F1", "url_private": url, **given})
    assert isinstance(source, Complaint)
    assert "outside of Slack" in source.text


async def test_a_file_that_i_may_not_see(settings: Settings) -> None:
    with pytest.raises(Unavailable) as refused:
        await read(settings, id="F0MISSING", file_access="check_file_info")
    assert "Invite me" in str(refused.value)


def test_what_is_a_picture() -> None:
    assert is_picture({"mimetype": "image/png"})
    assert is_picture({"file_access": "check_file_info"}), "a stub says nothing yet"
    assert not is_picture({"mimetype": "text/plain"})
    assert not is_picture({})


def test_pictures_that_are_no_files_of_the_message() -> None:
    """CASES G9."""
    message = {
        "attachments": [
            {"image_url": "https://i.imgur.com/a.png", "thumb_url": "https://i.imgur.com/s.png"},
            {"blocks": [{"type": "image", "image_url": "https://i.imgur.com/b.png"}]},
            {"text": "words"},
        ],
        "blocks": [
            {"type": "image", "slack_file": {"id": "F1"}},
            {"type": "image", "image_url": "http://plain.example/c.png"},
        ],
    }
    assert shown(message) == [
        "link:https://i.imgur.com/a.png",
        "file:F1",
        "link:https://i.imgur.com/b.png",
    ]


@pytest.mark.parametrize(
    ("file", "picture"),
    [
        ({"name": "cat", "mimetype": ""}, True),
        ({"name": "cat", "mimetype": "application/octet-stream"}, True),
        ({"name": "cat.exe", "mimetype": "application/octet-stream"}, False),
        ({"name": "notes", "mimetype": "text/plain"}, False),
    ],
)
def test_files_without_an_ending(file: dict[str, str], picture: bool) -> None:
    assert is_picture(file) is picture
