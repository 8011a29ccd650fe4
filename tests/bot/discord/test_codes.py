"""Every error code that Discord has, met while a result is shown: what the person sees, what the
operator sees, whether it is tried again, and that it ends."""

from pathlib import Path

import discord
import pytest

from bot.deliver import SOON_TRIES
from bot.discord.errors import ARCHIVED, DEAD_TOKEN, OPERATORS, SORTS, TOO_LARGE, UPLOADS_LIMITED
from bot.showing import Doubtful, Gone, Operators, Refusal, RetryLater, Told
from bot.terminal.doctor import _cards
from storage import deliveries, metrics, troubles
from storage.domain import Platform
from storage.settings import Settings
from tests.bot.discord.test_refusals import OWN_STATUS, QUARTER_HOUR, codes, row
from tests.conftest import make_settings
from tests.fakes.discord_world import World

MESSAGE = "Discord's message quotes a red apple"
BY_STATUS = {429: RetryLater, 502: RetryLater, 401: Operators, 404: Gone}
"""Where the code says nothing."""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return make_settings(
        tmp_path, broker_url="memory://", daily_pictures=1_000_000, queue_limit=1_000_000
    )


def every() -> list[tuple[int, int, type[Refusal]]]:
    """Code, status and sort; but for those of which more is done than to sort them."""
    done = {*DEAD_TOKEN, *TOO_LARGE, UPLOADS_LIMITED}
    given = [(code, OWN_STATUS.get(code, 400)) for code in codes() if code not in done]
    given += [(0, status) for status in BY_STATUS]
    return [(c, status, SORTS.get(c, BY_STATUS.get(status, Doubtful))) for c, status in given]


async def refused(world: World, code: int, status: int) -> None:
    """A result that Discord refuses to show, tried once."""
    await world.imagine()
    world.painter.paint()
    world.env.inject_error("PATCH", "/*", status=status, code=code, message=MESSAGE, times=None)
    await world.deliver()


def mended(world: World) -> None:
    world.env.backend.faults.clear()


def told(world: World) -> list[str]:
    channel = world.alice.user.dm_channel
    return [message.content for message in channel.history()]


def health(world: World) -> str:
    return troubles.shows(world.line.database, Platform.DISCORD, OPERATORS)()


def grave(world: World) -> bool:
    return type(health(world)) is str and bool(health(world))


async def queued(world: World) -> str:
    listed = await world.alice.slash(world.channel, "queue")
    assert listed.response is not None
    return str(listed.response.embeds[0].description) if listed.response.embeds else ""


async def test_what_discord_refuses_ends(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    for code, status, sort in every():
        name = str(code or status)
        lost = metrics.DELIVERIES_GONE.labels("discord")._value.get()
        heard = len(told(world))
        await refused(world, code, status)
        logged = capsys.readouterr().out
        assert f"code={name} " in logged, name
        assert "quotes" not in logged, name
        first = row(world)
        tried_again = sort in (RetryLater, Doubtful, Operators)
        assert (first.gone is None) is tried_again, name
        assert grave(world) is (sort is Operators), name
        said = f"1 card cannot be shown: Discord says {name} since"
        assert (said in health(world)) is (sort in (Doubtful, Operators)), name
        marks = {Doubtful: [None], Operators: [False]}.get(sort, [])
        assert [mark for mark, _ in _cards(world.line.settings)] == marks, name

        for _ in range(SOON_TRIES if sort is RetryLater else 1):
            await world.env.advance_time(3700)
            await world.deliver()
        last = row(world)
        if sort is Operators:  # For as long as it takes, and then the picture is there.
            assert last.gone is None, name
            mended(world)
            await world.env.advance_time(60)
            await world.deliver()
            assert row(world).shown_revision == last.desired_revision, name
        else:
            assert last.gone == name, name
            assert metrics.DELIVERIES_GONE.labels("discord")._value.get() == lost + 1, name
            mended(world)
        assert health(world) == "", name
        words = told(world)[heard:]
        if sort in (Told, Doubtful, RetryLater):
            assert len(words) == 1, name
            assert "`/queue` has it" in words[0], name
            assert "can't show it" in await queued(world), name
        else:
            assert words == [], name
        with world.line.database.write() as session:
            session.delete(session.get_one(type(last), last.job_id))


async def test_what_is_over_soon_is_shown(world: World) -> None:
    """The sibling of each that is tried again."""
    for code, status, sort in every():
        if sort not in (RetryLater, Doubtful):
            continue
        await refused(world, code, status)
        mended(world)
        await world.env.advance_time(15)
        await world.deliver()
        last = row(world)
        assert last.shown_pictures, code
        assert (last.trouble, last.gone) == ("", None), code
    assert told(world) == []


@pytest.mark.parametrize("code", [*TOO_LARGE, UPLOADS_LIMITED])
@pytest.mark.parametrize("late", [False, True])
async def test_what_cannot_be_uploaded_is_said_on_the_card(
    world: World, code: int, late: bool
) -> None:
    """CASES D6: the card is edited without the picture."""
    said = await world.imagine()
    await world.deliver()
    if late:
        await world.env.advance_time(QUARTER_HOUR)
    world.painter.paint()
    world.env.inject_error("PATCH", "/*", status=413, code=code)
    await world.deliver()
    assert said.response is not None
    [card] = said.response.embeds
    assert "The picture is drawn, but" in str(card.description)
    assert said.response.attachments == []
    assert row(world).shown_revision == row(world).desired_revision
    assert health(world) == ""


async def test_an_archived_thread_is_opened_again(world: World) -> None:
    """CASES D6."""
    channel = world.env.bot.get_channel(world.channel.id)
    assert isinstance(channel, discord.TextChannel)
    kind = discord.ChannelType.public_thread
    await channel.create_thread(name="old pictures", type=kind)
    [thread] = world.channel.threads
    said = await world.alice.slash(thread, "imagine", prompt="a red apple")
    await world.deliver()
    await world.env.advance_time(QUARTER_HOUR)
    world.painter.paint()
    world.env.inject_error("PATCH", "/channels/*/messages/*", status=400, code=ARCHIVED)
    await world.deliver()
    assert said.response is not None
    assert len(said.response.attachments) == 1
    opened = [r for r in world.env.http_requests if r.path == f"/channels/{thread.id}"]
    assert [request.json for request in opened] == [{"archived": False}]
    with world.line.database.write() as session:
        deliveries.desire(session, world.entry.job_id, removed=True)
    world.env.inject_error("DELETE", "/channels/*/messages/*", status=400, code=ARCHIVED)
    await world.deliver()
    assert said.response is None


async def test_who_asked_in_private_is_told_too(world: World) -> None:
    """Its card is refused while direct messages are open."""
    await world.imagine(private=True)
    world.painter.paint()
    world.env.inject_error("PATCH", "/*", status=400, code=50035)
    await world.deliver()
    assert "`/queue` has it" in told(world)[0]
