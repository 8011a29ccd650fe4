"""References out of Discord's store of files: no more of one is read than may be used."""

import pytest

from bot.core.line import Line
from bot.discord.app import create_bot
from bot.discord.intake import reader
from bot.references import Unavailable
from storage.domain import Attached
from storage.settings import Settings
from tests.fakes.elsewhere import answering
from tests.fakes.painter import png

ELEVEN_MIB = 11 * 2**20


async def read(settings: Settings, line: Line, url: str) -> bytes:
    file = Attached(name="a.png", size_bytes=10, address=f"{url}/a.png")
    return await reader(create_bot(settings, line))(file)


async def test_a_file_is_read(settings: Settings, line: Line) -> None:
    with answering(body=png(3)) as server:
        assert await read(settings, line, server.url) == png(3)
    assert server.asked == [""], "without a token"


@pytest.mark.parametrize(
    ("status", "body", "says"),
    [
        (200, bytes(ELEVEN_MIB), "larger than"),
        (302, b"", "couldn't fetch"),
        (403, b"", "couldn't fetch"),
        (404, b"", "couldn't fetch"),
    ],
)
async def test_what_is_not_to_be_had(
    settings: Settings, line: Line, status: int, body: bytes, says: str
) -> None:
    """However large Discord said that it is."""
    with answering(status, body) as server, pytest.raises(Unavailable, match=says):
        await read(settings, line, server.url)
    assert len(server.asked) == 1, "no redirect is followed"
