"""References out of Slack: the token goes to Slack's own hosts, and to no other."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from slack_sdk.errors import SlackApiError

from bot.references import Unavailable
from bot.slack.files import FORM, attached, is_picture, reader, shown
from bot.slack.workspaces import web_client
from storage.domain import (
    Attached,
    Complaint,
    EventKey,
    Place,
    Platform,
    RawCommand,
    Requester,
)
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.elsewhere import Elsewhere, answering
from tests.fakes.painter import png
from tests.fakes.slack_client import BOT_TOKEN, FakeSlack
from tests.fakes.slack_state import ALICE, BOB, BOT_USER, MOD, PICTURES, SECRET, SKETCHES, TEAM

ELEVEN_MIB = 11 * 2**20


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with answering() as server:
        yield server


async def read(settings: Settings, **file: Any) -> bytes:
    source = attached({"id": "F1", "name": "a.png", **file})
    assert isinstance(source, Attached)
    return await reader(web_client(settings, BOT_TOKEN), asked("message"))(source)


def asked(kind: str, channel: str = PICTURES, user: str = ALICE) -> RawCommand:
    return RawCommand(
        event=EventKey(platform=Platform.SLACK, workspace_id=TEAM, kind=kind, id="1"),
        requester=Requester(platform=Platform.SLACK, tenant=TEAM, user_id=user),
        place=Place(platform=Platform.SLACK, workspace_id=TEAM, channel_id=channel),
    )


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


@pytest.mark.parametrize(
    ("status", "words"),
    [
        *((status, "I may not see that file") for status in (401, 403, 404, 428)),
        *((status, "I couldn't fetch") for status in (429, 500, 502, 503, 504)),
    ],
)
async def test_a_failure_is_not_said_to_be_a_refusal(
    settings: Settings, status: int, words: str
) -> None:
    with answering(status) as server:
        local = make_settings(settings.data_folder, slack_api_url=f"{server.url}/api/")
        with pytest.raises(Unavailable, match=words):
            await read(local, url_private=f"{server.url}/a.png")


@pytest.mark.parametrize(
    "fault", [{"error": "internal_error"}, {"error": "ratelimited"}, {"status": 503}]
)
async def test_a_failure_that_passes_is_left_to_be_tried_again(
    settings: Settings, slack: FakeSlack, fault: dict[str, Any]
) -> None:
    file = slack.file("a.png", png(3))
    slack.fault(path="files.info", after=False, times=1, **fault)
    with pytest.raises(SlackApiError):
        await read(settings, id=file)
    assert await read(settings, id=file) == png(3)


@pytest.mark.parametrize("code", ["file_not_found", "missing_scope", "file_deleted"])
async def test_a_refusal_is_told(settings: Settings, slack: FakeSlack, code: str) -> None:
    slack.fault(path="files.info", after=False, error=code)
    with pytest.raises(Unavailable, match="I may not see that file"):
        await read(settings, id=slack.file("a.png", png(3)))


def test_what_is_a_picture() -> None:
    assert is_picture({"mimetype": "image/png"})
    assert is_picture({"file_access": "check_file_info"}), "a stub says nothing yet"
    assert not is_picture({"mimetype": "text/plain"})
    assert not is_picture({})


Read = Callable[..., Awaitable[bytes]]
NOT_HERE = "not in this conversation"


@pytest.mark.parametrize("by_url", [False, True])
class TestAFormNamesAFile:
    """By id, or with a URL where the form itself brought it: both are asked about."""

    @pytest.fixture
    def read(self, settings: Settings, slack: FakeSlack, by_url: bool) -> Read:
        async def read(file: str, **given: str) -> bytes:
            address = f"{slack.url}/files-pri/{TEAM}-{file}/a.png" if by_url else file
            source = Attached(name="a.png", size_bytes=0, address=address)
            return await reader(web_client(settings, BOT_TOKEN), asked(FORM, **given))(source)

        return read

    async def test_ones_own(self, slack: FakeSlack, read: Read) -> None:
        assert await read(slack.file("a.png", png(3))) == png(3)
        assert await read(slack.file("a.png", png(4)), channel="") == png(4)

    async def test_of_somebody_else(self, slack: FakeSlack, read: Read) -> None:
        file = slack.file("a.png", png(3), user=BOB)
        with pytest.raises(Unavailable, match=NOT_HERE):
            await read(file)
        with pytest.raises(Unavailable, match=NOT_HERE):
            await read(file, channel="")

    async def test_shown_in_a_public_channel(self, slack: FakeSlack, read: Read) -> None:
        slack.say("look", user=BOB, files=(file := slack.file("a.png", png(3), user=BOB),))
        assert await read(file) == png(3)
        with pytest.raises(Unavailable, match=NOT_HERE):
            await read(file, channel=SKETCHES)

    async def test_shown_in_a_private_one(self, slack: FakeSlack, read: Read) -> None:
        slack.channel(SECRET, private=True, people=[BOB, BOT_USER])
        file = slack.file("a.png", png(3), user=MOD)
        slack.say("look", user=MOD, channel=SECRET, files=(file,))
        assert await read(file, channel=SECRET, user=BOB) == png(3)
        with pytest.raises(Unavailable, match=NOT_HERE):
            await read(file, channel=SECRET, user=ALICE)

    async def test_shown_to_the_last_of_many(self, slack: FakeSlack, read: Read) -> None:
        people = [*(f"U{n}" for n in range(1500)), BOB]
        slack.channel(SECRET, private=True, people=people)
        slack.say("look", channel=SECRET, files=(file := slack.file("a.png", png(3)),))
        assert await read(file, channel=SECRET, user=BOB) == png(3)

    async def test_shown_in_direct_messages(self, slack: FakeSlack, read: Read) -> None:
        direct = slack.direct_channel(BOB)
        slack.say("look", user=BOB, channel=direct, files=(file := slack.file("a.png", png(3)),))
        assert await read(file, channel=direct, user=BOB) == png(3)
        with pytest.raises(Unavailable, match=NOT_HERE):
            await read(file, channel=direct, user=MOD)

    async def test_whose_people_slack_does_not_tell(self, slack: FakeSlack, read: Read) -> None:
        slack.channel(SECRET, private=True)
        slack.say("look", channel=SECRET, files=(file := slack.file("a.png", png(3)),))
        slack.fault(path="conversations.members", error="missing_scope", times=1, after=False)
        with pytest.raises(Unavailable, match=NOT_HERE):
            await read(file, channel=SECRET, user=BOB)
        slack.fault(path="conversations.members", error="internal_error", after=False)
        with pytest.raises(SlackApiError):
            await read(file, channel=SECRET, user=BOB)


async def test_what_the_form_alone_shows_us(settings: Settings, slack: FakeSlack) -> None:
    """No conversation has it; Slack gives its URL with the form, to us alone."""
    file = slack.file("a.png", png(3))
    slack.fault(path="files.info", error="file_not_found", times=None, after=False)
    read = reader(web_client(settings, BOT_TOKEN), asked(FORM))
    url = f"{slack.url}/files-pri/{TEAM}-{file}/a.png"
    assert await read(Attached(name="a.png", size_bytes=0, address=url)) == png(3)
    for address in (
        file,
        f"{slack.url}/files-pri/{TEAM}-F0/../{TEAM}-{file}/a.png",
        f"{slack.url}/other/{file}/a.png",
    ):
        with pytest.raises(Unavailable, match="I may not see that file"):
            await read(Attached(name="a.png", size_bytes=0, address=address))


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
