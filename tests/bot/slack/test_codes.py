"""Every error code of the methods that show a card, met while a result is shown: what the person
sees, what the operator sees, whether it is tried again, and that it ends."""

from datetime import timedelta

import pytest

from bot.deliver import SOON_TRIES
from bot.showing import Doubtful, Gone, Operators, Refusal, RetryLater
from bot.slack.errors import OPERATORS, SORTS, UNEDITABLE
from bot.slack.message import WITHOUT_UPLOAD
from bot.terminal.doctor import _cards
from storage import metrics, troubles
from storage.domain import Platform
from tests.bot.slack.test_refusals import OF_ALL_METHODS, OF_METHOD, quick, refused, row
from tests.fakes.slack_world import World

OF_CASES = (
    *("team_access_not_granted", "org_login_required", "ekm_access_denied", "access_denied"),
    *("messages_tab_disabled", "restricted_action_read_only_channel"),
    *("restricted_action_thread_only_channel", "restricted_action_non_threadable_channel"),
    *("file_type_not_allowed", "file_uploads_except_images_disabled", "rate_limited"),
)
"""CASES D4: sorted, each."""
SENT = ("ratelimited", "invalid_blocks")
"""Of which more is done than to sort them."""


def every() -> list[str]:
    known = {*SORTS, *OF_ALL_METHODS, *OF_METHOD["chat.update"], "no_such_code"}
    return sorted(known - {*SENT, *UNEDITABLE})


def health(world: World) -> str:
    return troubles.shows(world.line.database, Platform.SLACK, OPERATORS)()


class Later:
    """Time, put forward."""

    def __init__(self, world: World) -> None:
        self._database, self._clock = world.line.database, world.line.database.clock
        self._after = timedelta()
        self._database.clock = lambda: self._clock() + self._after

    def by(self, **more: float) -> None:
        self._after += timedelta(**more)


async def met(world: World, code: str) -> None:
    """A result that Slack refuses to show, tried once."""
    await world.imagine("a red apple")
    await world.deliver()
    world.painter.paint()
    await refused(world, "chat.update", code, None)
    await world.once()


def test_what_the_cases_name_is_sorted() -> None:
    assert [code for code in OF_CASES if code not in {*SORTS, *WITHOUT_UPLOAD}] == []


async def test_what_slack_refuses_ends(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    await quick(world)
    later = Later(world)
    for code in every():
        sort: type[Refusal] = SORTS.get(code, Doubtful)
        lost = metrics.DELIVERIES_GONE.labels("slack")._value.get()
        heard = len(await world.direct())
        capsys.readouterr()
        await met(world, code)
        logged = capsys.readouterr().out
        assert f"code={code} " in logged, code
        assert "The request to the Slack API failed" not in logged, code
        tried_again = sort in (RetryLater, Doubtful, Operators)
        assert (row(world).gone is None) is tried_again, code
        said = f"1 card cannot be shown: Slack says {code} since"
        assert (said in health(world)) is (sort in (Doubtful, Operators)), code
        marks = {Doubtful: [None], Operators: [False]}.get(sort, [])
        assert [mark for mark, _ in _cards(world.line.settings)] == marks, code

        for _ in range(SOON_TRIES if sort is RetryLater else 1):
            later.by(seconds=3700)
            world.painter.sign_of_life()
            await world.once()
        last = row(world)
        await world.do(world.slack.clear_faults)
        if sort is Operators:
            assert last.gone is None, code
            later.by(seconds=60)
            await world.once()
            assert row(world).shown_revision == last.desired_revision, code
        else:
            assert last.gone == code, code
            assert metrics.DELIVERIES_GONE.labels("slack")._value.get() == lost + 1, code
        assert health(world) == "", code
        words = [message["text"] for message in (await world.direct())[heard:]]
        if sort in (Operators, Gone):
            assert words == [], code
        else:
            assert len(words) == 1, code
            assert "`/imagine queue` has it" in words[0], code
            assert ("/invite" in words[0]) is (code in ("channel_not_found", "not_in_channel"))
        with world.line.database.write() as session:
            session.delete(session.get_one(type(last), last.job_id))
        for message in await world.seen():
            await world.do(world.slack.remove, message)


@pytest.mark.parametrize("sort", [RetryLater, Doubtful])
async def test_what_is_over_soon_is_shown(world: World, sort: type[Refusal]) -> None:
    """The sibling of each that is tried again."""
    await quick(world)
    later = Later(world)
    for code in (code for code in every() if SORTS.get(code, Doubtful) is sort):
        await met(world, code)
        await world.do(world.slack.clear_faults)
        later.by(seconds=15)
        await world.once()
        last = row(world)
        assert last.shown_pictures, code
        assert (last.trouble, last.gone) == ("", None), code
    assert await world.direct() == []


@pytest.mark.parametrize("code", sorted(WITHOUT_UPLOAD))
async def test_what_cannot_be_uploaded_is_said_on_the_card(world: World, code: str) -> None:
    await quick(world)
    await world.imagine("a red apple")
    await world.deliver()
    world.painter.paint()
    await refused(world, "files.*", code, None)
    await world.once()
    [message] = await world.seen()
    assert "The picture is drawn, but" in str(await world.do(world.slack.message, message))
    assert row(world).shown_revision == row(world).desired_revision
    assert health(world) == ""
