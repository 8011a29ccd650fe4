"""What Slack refuses: tried again, told, or given up; and a take-down that nothing stops.

Codes are those of the methods' pages on docs.slack.dev.
"""

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from bot.slack.errors import FILE_GONE, MESSAGE_GONE, UNDELETABLE, UNEDITABLE
from bot.terminal.doctor import _cards
from storage import deliveries
from storage.domain import JobState
from storage.settings import Settings
from storage.tables import DeliveryRow
from tests.bot.slack.watched import asked, scraped
from tests.fakes.slack_client import Seen
from tests.fakes.slack_state import APP, MOD, PICTURES
from tests.fakes.slack_world import World

OF_ALL_METHODS = (
    *("access_denied", "accesslimited", "account_inactive", "deprecated_endpoint"),
    *("ekm_access_denied", "enterprise_is_restricted", "fatal_error", "internal_error"),
    *("invalid_arg_name", "invalid_arguments", "invalid_array_arg", "invalid_auth"),
    *("invalid_charset", "invalid_form_data", "invalid_post_type", "is_bot"),
    *("method_deprecated", "missing_post_type", "missing_scope", "no_permission"),
    *("not_allowed_token_type", "not_authed", "org_login_required", "ratelimited"),
    *("request_timeout", "service_unavailable", "team_access_not_granted"),
    *("team_added_to_org", "token_expired", "token_revoked", "two_factor_setup_required"),
)
OF_METHOD = {
    "chat.delete": (
        *("cant_delete_message", "channel_not_found", "message_not_found"),
        "compliance_exports_prevent_deletion",
    ),
    "chat.update": (
        *("cant_update_message", "channel_not_found", "edit_window_closed", "is_inactive"),
        *("external_channel_migrating", "invalid_blocks", "message_not_found", "msg_too_long"),
        *("block_mismatch", "team_not_found", "update_failed", "streaming_state_conflict"),
    ),
    "files.delete": (
        *("cant_delete_file", "delete_not_allowed", "file_deleted", "file_deleting_disabled"),
        "file_not_found",
    ),
    "conversations.history": (
        *("channel_is_limited_access", "channel_not_found", "not_in_channel"),
        "invalid_ts_oldest",
    ),
}


async def desire(world: World, *, removed: bool = False) -> None:
    job = world.entry.job_id
    await world.line.write(lambda s: deliveries.desire(s, job, removed=removed))


async def refused(world: World, path: str, error: str, times: int | None = 1) -> None:
    await world.do(world.slack.fault, path=path, error=error, times=times, after=False)


async def quick(world: World) -> None:
    """No test here is about rates, nor about files that are not ready."""
    await world.do(world.slack.loosen, 1000.0)
    await world.do(world.slack.settings, ready_after_seconds=0.0)
    world.restart(world.app)


def row(world: World) -> DeliveryRow:
    with world.line.database.read() as session:
        found = session.get_one(DeliveryRow, world.entry.job_id)
        session.expunge(found)
        return found


def doctors_words(world: World) -> str:
    return " ".join(words for _, words in _cards(world.line.settings))


async def with_pictures(world: World) -> list[Seen]:
    """Messages that show a picture which is still there."""
    return [
        m for m in await world.seen() if m["files"] or any(not i["deleted"] for i in m["images"])
    ]


def documented() -> Iterator[Any]:
    for method in ("chat.delete", "files.delete"):
        yield pytest.param((method,), OF_METHOD[method], id=method)
        yield pytest.param((method,), OF_ALL_METHODS, id=f"{method}, as all methods")
    yield pytest.param(("chat.delete", "chat.update"), OF_METHOD["chat.update"], id="chat.update")
    yield pytest.param(("chat.delete", "chat.update", "files.delete"), OF_ALL_METHODS, id="all")


@pytest.mark.parametrize(("methods", "codes"), list(documented()))
async def test_a_take_down_whatever_slack_answers(
    world: World, methods: tuple[str, ...], codes: tuple[str, ...]
) -> None:
    """Issue 11, figure 7."""
    await quick(world)
    for code in codes:
        await world.drawn("a red apple")
        for method in methods:
            await refused(world, method, code)
        await desire(world, removed=True)
        await world.once()
        delivery = row(world)
        assert delivery.gone is None, code
        done = delivery.shown_revision == delivery.desired_revision
        if done:
            assert code in (MESSAGE_GONE, *FILE_GONE, *UNDELETABLE), code
            assert code == MESSAGE_GONE or not await with_pictures(world), code
        elif delivery.trouble:
            said = f"1 card cannot be taken down: Slack says {delivery.trouble} since"
            assert said in doctors_words(world), code
            assert delivery.trouble in (code, "cant_delete_message"), code
        else:  # Slack says when.
            assert code == "ratelimited"
            assert delivery.not_before > delivery.created_at, code
        if methods == ("files.delete",):
            assert await world.seen() == [], "the message goes first"
        await world.do(world.slack.clear_faults)
        world.restart(world.app)
        await desire(world, removed=True)
        await world.once()
        assert code == MESSAGE_GONE or not await with_pictures(world), code
        assert row(world).address == {}, code
        assert doctors_words(world) == "", code
        for message in await world.seen():
            await world.do(world.slack.remove, message)


@pytest.mark.parametrize("code", ["cant_delete_message", "compliance_exports_prevent_deletion"])
async def test_a_message_that_cannot_be_deleted_is_emptied(world: World, code: str) -> None:
    await quick(world)
    message = await world.drawn("a red apple")
    await refused(world, "chat.delete", code, None)
    await world.press(message, "delete")
    await world.once()
    [left] = await world.seen()
    assert left["images"] == []
    assert left["buttons"] == []
    assert "apple" not in str(await world.do(world.slack.message, left))
    assert row(world).address == {}


@pytest.mark.parametrize("code", ["cant_delete_file", "file_deleting_disabled"])
async def test_files_that_stay_are_the_operators(
    world: World, code: str, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """CASES D1."""
    await quick(world)
    message = await world.drawn("a red apple --count 2")
    await refused(world, "files.delete", code, None)
    await world.press(message, "delete")
    await world.once()
    assert await world.seen() == []
    assert row(world).address["files"].split() == [i["id"] for i in message["images"]]
    assert f"Slack says {code} since" in doctors_words(world)
    assert code in capsys.readouterr().out
    status, body = asked(world)
    assert (status, code in body) == (200, True)
    assert f'easel_deliveries_refused{{code="{code}",platform="slack"}} 1.0' in scraped(world)
    await world.do(world.slack.clear_faults)
    await desire(world, removed=True)
    await world.once()
    assert await world.do(world.slack.files) == []
    assert doctors_words(world) == ""


@pytest.mark.parametrize("code", ["token_revoked", "account_inactive", "invalid_auth"])
async def test_the_one_token_of_the_settings_is_the_operators(world: World, code: str) -> None:
    """CASES D3."""
    await quick(world)
    await world.imagine("a red apple")
    await world.deliver()
    world.painter.paint()
    await refused(world, "*", code, None)
    await world.once()
    assert f"1 card cannot be shown: Slack says {code} since" in doctors_words(world)
    assert [well for well, _ in _cards(world.line.settings)] == [False]
    status, body = asked(world)
    assert status == 503
    assert f"Slack says {code} since" in json.loads(body)["checks"]["cards"]
    await world.do(world.slack.clear_faults)
    await world.deliver()
    [message] = await world.seen()
    assert len(message["images"]) == 1
    assert asked(world)[0] == 200
    assert doctors_words(world) == ""


@pytest.mark.parametrize("code", ["no_such_code", "msg_too_long"])
async def test_a_code_that_nobody_knows_is_tried_again(world: World, code: str) -> None:
    await quick(world)
    await world.imagine("a red apple")
    await world.deliver()
    world.painter.paint()
    await refused(world, "chat.update", code)
    await world.once()
    assert (row(world).trouble, row(world).gone) == (code, None)
    assert [well for well, _ in _cards(world.line.settings)] == [None]
    assert asked(world)[0] == 200


@pytest.mark.parametrize("code", ["restricted_action", "is_archived", "channel_not_found"])
@pytest.mark.parametrize("painted", [False, True])
async def test_what_may_not_be_there_is_told_and_in_the_queue(
    world: World, code: str, painted: bool
) -> None:
    await quick(world)
    await world.imagine("a red apple")
    await world.deliver()
    if painted:
        world.painter.paint()
    await desire(world)
    await refused(world, "chat.update", code)
    await refused(world, "conversations.history", code)
    await world.once()
    await world.do(world.slack.clear_faults)
    [told] = await world.direct()
    assert "`/imagine queue`" in told["text"]
    assert ("/invite" in told["text"]) is (code == "channel_not_found")
    if not painted:
        world.painter.paint()
    await world.imagine("queue")
    listed = [m for m in await world.seen() if m["ephemeral"]][-1]
    assert "can't show it where you asked" in listed["text"]
    await world.press(listed, "fetch", str(world.entry.job_id))
    await world.deliver()
    assert len((await world.direct())[-1]["images"]) == 1


async def test_what_could_not_be_sent_is_fetched_by_who_asked_alone(world: World) -> None:
    """Not by who manages the workspace."""
    await quick(world)
    await world.do(world.slack.person, MOD, admin=True)
    await world.imagine("a red apple --private")
    world.painter.paint()
    await refused(world, "conversations.open", "user_not_visible", None)
    await world.once()
    await world.do(world.slack.clear_faults)
    assert row(world).gone
    await world.imagine("queue")
    listed = [m for m in await world.seen() if m["ephemeral"]][-1]
    await world.press(listed, "fetch", str(world.entry.job_id), user=MOD)
    await world.deliver()
    told = [m for m in await world.seen(user=MOD) if m["ephemeral"]][-1]
    assert "Only who asked" in told["text"]
    assert await world.direct(MOD) == []
    await world.press(listed, "fetch", str(world.entry.job_id))
    await world.deliver()
    assert len((await world.direct())[-1]["images"]) == 1


async def test_a_show_that_is_too_late_says_so_and_two_show_it_once(world: World) -> None:
    await quick(world)
    await world.imagine("a red apple")
    await world.deliver()
    world.painter.paint()
    await refused(world, "chat.update", "restricted_action")
    await world.once()
    await world.do(world.slack.clear_faults)
    assert row(world).gone
    await world.imagine("queue")
    listed = [m for m in await world.seen() if m["ephemeral"]][-1]
    for _ in range(2):
        await world.press(listed, "fetch", str(world.entry.job_id))
    assert "Nothing is left to show here" in await last_told(world)
    await world.deliver()
    [shown] = [message for message in await world.direct() if message["images"]]
    assert len(shown["images"]) == 1
    assert [m for m in await world.seen() if not m["ephemeral"]] == [], "its first message is gone"
    await desire(world, removed=True)
    await world.deliver()
    assert [message for message in await world.direct() if message["images"]] == []
    assert row(world).address == {}


async def test_a_moved_result_is_not_taken_for_its_former_message(world: World) -> None:
    """Both are in the direct messages, and nobody knows what became of the second post."""
    await quick(world)
    await world.imagine("a red apple --private")
    await world.deliver()
    [first] = await world.direct()
    world.painter.paint()
    await refused(world, "chat.update", "restricted_action")
    await world.once()
    await world.do(world.slack.clear_faults)
    assert row(world).gone
    await world.imagine("queue")
    listed = [m for m in await world.seen() if m["ephemeral"]][-1]
    await world.press(listed, "fetch", str(world.entry.job_id))
    given = {"error": "internal_error", "status": 500, "times": 1, "after": False}
    await world.do(world.slack.fault, path="chat.postMessage", **given)
    await world.once()
    await world.deliver()
    shown = [message for message in await world.direct() if message["images"]]
    assert len(shown) == 1
    assert first["ts"] not in [message["ts"] for message in await world.direct()]


async def last_told(world: World) -> str:
    text: str = [m for m in await world.seen() if m["ephemeral"]][-1]["text"]
    return text


async def test_a_message_that_is_deleted_while_its_job_waits(world: World) -> None:
    await quick(world)
    await world.imagine("a red apple")
    await world.deliver()
    [message] = await world.seen()
    await world.do(world.slack.remove, message)
    await desire(world)
    await world.once()
    assert world.entry.state is JobState.CANCELLED


@pytest.mark.parametrize("code", UNEDITABLE)
async def test_another_message_takes_the_place_of_one_that_cannot_be_edited(
    world: World, code: str
) -> None:
    """DESIGN section 8: one other, once, and the first goes."""
    await quick(world)
    await world.imagine("a red apple")
    await world.deliver()
    [first] = await world.seen()
    await refused(world, "chat.update", code)
    for _ in range(3):
        await desire(world)
        await world.deliver()
    assert [m["ts"] for m in await world.seen()] == [first["ts"]], "not for mere progress"
    world.painter.paint()
    await world.deliver()
    [message] = await world.seen()
    assert message["ts"] != first["ts"]
    assert len(message["images"]) == 1
    await world.press(message, "delete")
    await world.deliver()
    assert await world.seen() == []


async def test_a_first_message_that_stays_goes_with_the_take_down(world: World) -> None:
    await quick(world)
    await world.drawn("a red apple")
    await refused(world, "chat.update", "edit_window_closed")
    await refused(world, "chat.delete", "access_denied")
    await desire(world)
    await world.deliver()
    first, second = await world.seen()
    assert (first["images"], len(second["images"])) == ([], 1)
    await world.press(second, "delete")
    await world.deliver()
    assert await world.seen() == []


async def test_we_know_whose_messages_we_show(world: World) -> None:
    """CASES D14."""
    assert world.show.application == APP
    await world.imagine("a red apple")
    job = world.entry.job_id

    def belong(application: str) -> None:
        with world.line.database.write() as session:
            session.get_one(DeliveryRow, job).application = application

    belong("A0DEMO")
    await world.once()
    assert await world.seen() == []
    belong(APP)
    await world.once()
    assert len(await world.seen()) == 1


async def test_a_slack_that_does_not_say_who_we_are_says_it_with_the_first_event(
    world: World, settings: Settings
) -> None:
    world.app.workspaces.application = ""
    await refused(world, "bots.info", "unknown_method")
    await world.app.workspaces.identify(world.app.client)
    assert world.show.application == ""
    await world.imagine("a red apple")
    assert world.show.application == APP


async def test_a_model_that_is_gone_breaks_no_button(world: World) -> None:
    """CASES C1."""
    await quick(world)
    message = await world.drawn("a red apple")
    line = world.app.line
    world.app.line = replace(line, catalog=line.catalog.model_copy(update={"models": {}}))
    await world.press(message, "again")
    told = [m for m in await world.seen() if m["ephemeral"]][-1]
    assert "“builtin” is not here any more" in told["text"]
    await world.press(message, "delete")
    await world.deliver()
    assert [m for m in await world.seen() if not m["ephemeral"]] == []
    assert await world.seen(PICTURES) == [told]
