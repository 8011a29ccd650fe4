"""The fake Slack is as strict as Slack: driven with Slack's own clients, slack_sdk and Bolt."""

from __future__ import annotations

import asyncio
import io
import json
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest
from aiohttp import web
from PIL import Image
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler
from slack_bolt.async_app import AsyncApp
from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError, SlackRequestError
from slack_sdk.web.async_client import AsyncWebClient
from slack_sdk.webhook import WebhookClient

from tests.fakes.slack_client import APP_TOKEN, BOT_TOKEN, SIGNING_SECRET, FakeSlack
from tests.fakes.slack_methods import CLIENT_ID, CLIENT_SECRET
from tests.fakes.slack_state import (
    ALICE,
    ARCHIVED,
    BOB,
    BOT_USER,
    ENTERPRISE,
    OUTSIDE,
    PICTURES,
    QUIET,
    SECRET,
    SHARED,
    SKETCHES,
    SLACKBOT,
    TEAM,
)
from tests.wire.slack_api import specs_folder

Json = dict[str, Any]


def picture(format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), "gold").save(buffer, format)
    return buffer.getvalue()


def error(call: Callable[[], Any]) -> str:
    with pytest.raises(SlackApiError) as refused:
        call()
    return str(refused.value.response["error"])


def is_refused(call: Callable[[], Any]) -> bool:
    try:
        call()
    except SlackApiError:
        return True
    return False


@pytest.fixture(scope="module")
def shared_slack() -> Iterator[FakeSlack]:
    """For tests that ask for nothing but answers."""
    with FakeSlack() as slack:
        slack.loosen(1_000_000)
        yield slack


@pytest.fixture(scope="module")
def process() -> Iterator[FakeSlack]:
    with FakeSlack() as slack:
        yield slack


@pytest.fixture
def slack(process: FakeSlack) -> FakeSlack:
    """In which nothing has happened yet."""
    process.reset()
    return process


@pytest.fixture
def client(shared_slack: FakeSlack) -> WebClient:
    return WebClient(BOT_TOKEN, base_url=shared_slack.api_url)


# The Web API.


@pytest.mark.parametrize(
    ("token", "said"),
    [("", "not_authed"), ("xoxb-other", "invalid_auth"), (APP_TOKEN, "not_allowed_token_type")],
)
def test_tokens(shared_slack: FakeSlack, token: str, said: str) -> None:
    assert error(WebClient(token, base_url=shared_slack.api_url).auth_test) == said


def test_a_revoked_token_and_a_missing_scope(slack: FakeSlack) -> None:
    client = WebClient(BOT_TOKEN, base_url=slack.api_url)
    slack.install(scopes="chat:write")
    assert error(lambda: client.users_info(user=ALICE)) == "missing_scope"
    slack.revoke(app_token=True)
    assert error(client.auth_test) == "token_revoked"
    assert error(lambda: client.apps_connections_open(app_token=APP_TOKEN)) == "invalid_auth"


@pytest.mark.parametrize(
    ("channel", "said"),
    [
        (OUTSIDE, "not_in_channel"),
        (SECRET, "channel_not_found"),
        ("C0NOWHERE", "channel_not_found"),
        (ARCHIVED, "is_archived"),
    ],
)
def test_where_it_may_not_write(client: WebClient, channel: str, said: str) -> None:
    assert error(lambda: client.chat_postMessage(channel=channel, text="x")) == said


def test_a_message_from_post_to_deletion(client: WebClient, shared_slack: FakeSlack) -> None:
    metadata = {"event_type": "easel", "event_payload": {"job": "1"}}
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "one"}}]
    posted = client.chat_postMessage(channel=QUIET, text="x", blocks=blocks, metadata=metadata)
    where = {"channel": QUIET, "ts": posted["ts"]}
    client.chat_update(**where, text="y")
    [kept] = shared_slack.seen(QUIET)
    assert (kept["text"], kept["metadata"]) == ("one", metadata), "what is not named stays"
    client.chat_update(**where, text="y", blocks=[])
    [plain] = shared_slack.seen(QUIET)
    assert (plain["text"], plain["edited"]) == ("y", True)
    found = client.conversations_history(channel=QUIET, include_all_metadata=True)["messages"]
    assert found[0]["metadata"] == metadata
    assert (
        posted["ts"].replace(".", "")
        in client.chat_getPermalink(channel=QUIET, message_ts=posted["ts"])["permalink"]
    )
    client.chat_delete(**where)
    assert shared_slack.seen(QUIET) == []
    assert error(lambda: client.chat_update(**where, text="z")) == "message_not_found"
    [history] = [m for m in shared_slack.history() if m["ts"] == posted["ts"]]
    assert [version["text"] for version in history["versions"]] == ["one", "one", "y", "y"]


def test_others_messages_are_not_its_own(client: WebClient, shared_slack: FakeSlack) -> None:
    ts = shared_slack.say("hello")["ts"]
    there = {"channel": PICTURES, "ts": ts}
    assert error(lambda: client.chat_update(**there, text="x")) == "cant_update_message"
    assert error(lambda: client.chat_delete(**there)) == "cant_delete_message"


def test_a_thread(client: WebClient, shared_slack: FakeSlack) -> None:
    parent = client.chat_postMessage(channel=SKETCHES, text="parent")["ts"]
    client.chat_postMessage(channel=SKETCHES, text="reply", thread_ts=parent)
    assert [m["text"] for m in shared_slack.seen(SKETCHES)] == ["parent"]
    assert [m["text"] for m in shared_slack.seen(SKETCHES, thread=parent)] == ["parent", "reply"]
    found = client.conversations_replies(channel=SKETCHES, ts=parent)["messages"]
    assert [message["text"] for message in found] == ["parent", "reply"]
    lost = error(lambda: client.chat_postMessage(channel=SKETCHES, text="x", thread_ts="1.000001"))
    assert lost == "thread_not_found"


def test_an_ephemeral_message_is_for_one_and_for_ever(
    client: WebClient, shared_slack: FakeSlack
) -> None:
    said = client.chat_postEphemeral(channel=QUIET, user=ALICE, text="psst")
    assert "psst" in [m["text"] for m in shared_slack.seen(QUIET, user=ALICE)]
    assert "psst" not in [m["text"] for m in shared_slack.seen(QUIET, user=BOB)]
    there = {"channel": QUIET, "ts": said["message_ts"]}
    assert error(lambda: client.chat_update(**there, text="x")) == "message_not_found"


@pytest.mark.parametrize(("length", "fits"), [(4000, True), (4001, False)])
def test_the_text_of_an_update(client: WebClient, length: int, fits: bool) -> None:
    ts = client.chat_postMessage(channel=QUIET, text="x")["ts"]
    update = lambda: client.chat_update(channel=QUIET, ts=ts, text="x" * length)  # noqa: E731
    assert update()["ok"] if fits else error(update) == "msg_too_long"


def test_blocks_are_checked(client: WebClient) -> None:
    blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]
    with pytest.raises(SlackApiError) as refused:
        client.chat_postMessage(channel=PICTURES, text="x", blocks=blocks)
    assert refused.value.response["error"] == "invalid_blocks"
    assert "json-pointer:/blocks/0/text" in str(refused.value.response["response_metadata"])
    empty = {"channel": PICTURES, "text": " "}
    assert error(lambda: client.api_call("chat.postMessage", json=empty)) == "no_text"


def test_pings_and_links_are_seen(client: WebClient, shared_slack: FakeSlack) -> None:
    def said(text: str, **more: Any) -> Json:
        channel = shared_slack.direct_channel(BOB)
        blocks = [{"type": "section", "text": {"type": "mrkdwn", "text": text, **more}}]
        client.chat_postMessage(channel=channel, text="x", blocks=blocks)
        return shared_slack.seen(channel, user=BOB)[-1]

    assert said("<!channel> <@U0BOB> <!subteam^S1|team>")["pings"] == [
        "@channel",
        "@U0BOB",
        "@subteam",
    ]
    assert said("&lt;!channel&gt; &amp; <#C0QUIET|quiet>")["pings"] == []
    assert said("@here, you")["pings"] == ["@here"]
    assert said("@here, you", verbatim=True)["pings"] == []
    linked = said("<https://example.org|here> and https://example.com")
    assert linked["links"] == ["https://example.com", "https://example.org"]
    assert linked["text"] == "here and https://example.com"


def test_people_have_a_language(client: WebClient, shared_slack: FakeSlack) -> None:
    shared_slack.person("U0EVE", locale="fr-FR")
    assert client.users_info(user="U0EVE", include_locale=True)["user"]["locale"] == "fr-FR"
    assert "locale" not in client.users_info(user="U0EVE")["user"]
    assert error(lambda: client.users_info(user="U0NOBODY")) == "user_not_found"


def test_direct_messages(client: WebClient, shared_slack: FakeSlack) -> None:
    shared_slack.person("U0SHY", takes_direct=False)
    channel = client.conversations_open(users=ALICE)["channel"]["id"]
    client.chat_postMessage(channel=channel, text="only for you")
    assert [m["text"] for m in shared_slack.seen_direct(ALICE)] == ["only for you"]
    closed = client.conversations_open(users="U0SHY")["channel"]["id"]
    refused = error(lambda: client.chat_postMessage(channel=closed, text="x"))
    assert refused == "messages_tab_disabled"


def test_what_it_can_know_of_channels(client: WebClient) -> None:
    def known(channel: str) -> Json:
        return client.conversations_info(channel=channel)["channel"]

    assert (known(PICTURES)["is_member"], known(OUTSIDE)["is_member"]) == (True, False)
    assert known(ARCHIVED)["is_archived"]
    assert known(SHARED)["is_ext_shared"]
    assert error(lambda: known(SECRET)) == "channel_not_found"


def test_rates(slack: FakeSlack) -> None:
    """In hours for minutes, and in minutes for seconds, so that no slow machine matters."""
    slack.loosen(1 / 60)
    client = WebClient(BOT_TOKEN, base_url=slack.api_url)

    def post(channel: str) -> Any:
        return client.chat_postMessage(channel=channel, text="x")

    ts = post(PICTURES)["ts"]
    post(QUIET)
    with pytest.raises(SlackApiError) as limited:
        post(PICTURES)
    assert limited.value.response.status_code == 429
    assert 30 < int(limited.value.response.headers["Retry-After"]) <= 60
    slack.move_clock(60)
    post(PICTURES)
    update = lambda: client.chat_update(channel=PICTURES, ts=ts, text="y")  # noqa: E731
    calls = 0
    while not is_refused(update):
        calls += 1
    assert calls == 50, "in tier 3"


def test_oauth(slack: FakeSlack) -> None:
    client = WebClient(base_url=slack.api_url)
    given = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    code = slack.authorise()
    assert error(lambda: client.oauth_v2_access(**{**given, "client_secret": "x"}, code=code)) == (
        "bad_client_secret"
    )
    access = client.oauth_v2_access(**given, code=code)
    assert (access["team"]["id"], access["is_enterprise_install"]) == (TEAM, False)
    mine = WebClient(access["access_token"], base_url=slack.api_url)
    assert mine.auth_test()["team_id"] == TEAM
    assert mine.team_info()["team"]["domain"] == "atelier"
    assert error(lambda: client.oauth_v2_access(**given, code=code)) == "invalid_code"
    whole = client.oauth_v2_access(**given, code=slack.authorise(team=False))
    assert (whole["team"], whole["enterprise"]["id"]) == (None, ENTERPRISE)


# Files.


def upload(client: WebClient, data: bytes, name: str = "easel.png", **share: Any) -> str:
    given = client.files_getUploadURLExternal(filename=name, length=len(data), alt_txt="an apple")
    urllib.request.urlopen(urllib.request.Request(given["upload_url"], data=data), timeout=10)
    client.files_completeUploadExternal(files=[{"id": given["file_id"], "title": "x"}], **share)
    return str(given["file_id"])


def until_ready(client: WebClient, file: str) -> Json:
    while not (info := client.files_info(file=file)["file"])["mimetype"]:
        time.sleep(0.02)
    return dict(info)


def image_of(file: str) -> list[Json]:
    return [{"type": "image", "alt_text": "an apple", "slack_file": {"id": file}}]


def test_a_picture_in_a_message(slack: FakeSlack) -> None:
    slack.settings(ready_after_seconds=1000)
    client = WebClient(BOT_TOKEN, base_url=slack.api_url)
    file = upload(client, picture())
    assert client.files_info(file=file)["file"]["mimetype"] == ""
    post = lambda: client.chat_postMessage(channel=PICTURES, text="x", blocks=image_of(file))  # noqa: E731
    early = error(post)
    assert early == "invalid_blocks"
    slack.move_clock(1001)
    assert until_ready(client, file)["mimetype"] == "image/png"
    post()
    [seen] = slack.seen()
    assert [(i["id"], i["alt"], i["mimetype"]) for i in seen["images"]] == [
        (file, "an apple", "image/png")
    ]
    client.files_delete(file=file)
    assert slack.seen()[0]["images"][0]["deleted"]
    assert error(lambda: client.files_info(file=file)) == "file_deleted"
    assert slack.files() == []


@pytest.mark.parametrize(("format", "shown"), [("GIF", True), ("JPEG", True), ("WEBP", False)])
def test_formats_that_an_image_block_shows(
    client: WebClient, shared_slack: FakeSlack, format: str, shown: bool
) -> None:
    file = upload(client, picture(format), "named.png")
    until_ready(client, file)
    channel = shared_slack.direct_channel(BOB)
    post = lambda: client.chat_postMessage(channel=channel, text="x", blocks=image_of(file))  # noqa: E731
    assert post()["ok"] if shown else error(post) == "invalid_blocks"


def test_a_file_shared_in_a_thread_with_words(slack: FakeSlack) -> None:
    client = WebClient(BOT_TOKEN, base_url=slack.api_url)
    ts = slack.say("draw!")["ts"]
    words = [{"type": "section", "text": {"type": "mrkdwn", "text": "an apple"}}]
    file = upload(client, picture(), channel_id=PICTURES, thread_ts=ts, blocks=json.dumps(words))
    info = until_ready(client, file)
    [share] = info["shares"]["public"][PICTURES]
    [_, shown] = slack.seen(thread=ts)
    assert (shown["ts"], shown["text"], shown["files"][0]["id"]) == (share["ts"], "an apple", file)
    buttons = [{"type": "actions", "elements": []}]
    assert error(lambda: upload(client, b"x", channel_id=PICTURES, blocks=json.dumps(buttons))) == (
        "invalid_blocks"
    )
    assert error(lambda: upload(client, b"x", channel_id=OUTSIDE)) == "not_in_channel"


def test_uploads_that_the_workspace_refuses(slack: FakeSlack) -> None:
    client = WebClient(BOT_TOKEN, base_url=slack.api_url)
    slack.settings(upload_limit_bytes=10)
    upload(client, b"x" * 10)
    assert error(lambda: upload(client, b"x" * 11)) == "file_upload_size_restricted"
    slack.settings(uploads_allowed=False)
    assert error(lambda: upload(client, b"x")) == "file_uploads_disabled"


def test_the_three_steps_as_one(client: WebClient, shared_slack: FakeSlack) -> None:
    done = client.files_upload_v2(file=picture(), filename="a.png", channel=SKETCHES)
    shared_slack.until(lambda: [m for m in shared_slack.seen(SKETCHES) if m["files"]])
    assert done["files"][0]["id"] in [file["id"] for file in shared_slack.files()]
    wrong = client.files_getUploadURLExternal(filename="a.png", length=3)["upload_url"]
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(urllib.request.Request(wrong, data=b"four"), timeout=10)


def test_files_of_people_need_the_token(client: WebClient, shared_slack: FakeSlack) -> None:
    file = shared_slack.file("apple.png", picture())
    url = client.files_info(file=file)["file"]["url_private"]

    def get(headers: dict[str, str]) -> tuple[str, bytes]:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as answer:
            return answer.headers.get_content_type(), answer.read()

    assert get({"Authorization": f"Bearer {BOT_TOKEN}"}) == ("image/png", picture())
    kind, page = get({})
    assert kind == "text/html"
    assert b"sign in" in page


# Views and response URLs, with triggers of commands that nobody took.


def modal(**changes: Any) -> Json:
    text = {"type": "plain_text", "text": "x"}
    box = {"type": "plain_text_input", "action_id": "prompt", "max_length": 5}
    block = {"type": "input", "block_id": "p", "label": text, "element": box}
    return {"type": "modal", "title": text, "submit": text, "blocks": [block], **changes}


def trigger(slack: FakeSlack) -> str:
    return str(slack.delivery(slack.command("/imagine"))["payload"]["trigger_id"])


def test_a_trigger_opens_one_modal_within_three_seconds(slack: FakeSlack) -> None:
    client = WebClient(BOT_TOKEN, base_url=slack.api_url)
    first, late = trigger(slack), trigger(slack)
    slack.move_clock(1)
    view = client.views_open(trigger_id=first, view=modal())["view"]
    again = error(lambda: client.views_open(trigger_id=first, view=modal()))
    slack.move_clock(2.1)
    expired = error(lambda: client.views_open(trigger_id=late, view=modal()))
    made_up = error(lambda: client.views_open(trigger_id="1.2.3", view=modal()))
    assert (again, expired, made_up) == (
        "exchanged_trigger_id",
        "expired_trigger_id",
        "invalid_trigger_id",
    )
    stale = error(lambda: client.views_update(view_id=view["id"], hash="x", view=modal()))
    assert stale == "hash_conflict"
    client.views_update(view_id=view["id"], hash=view["hash"], view=modal(private_metadata="y"))
    shown = slack.modal()
    assert shown is not None
    assert shown["private_metadata"] == "y"
    too_long = modal(private_metadata="x" * 3001)
    assert error(lambda: client.views_update(view_id=view["id"], view=too_long)) == (
        "invalid_arguments"
    )
    for values in ({}, {"prompt": "123456"}, {"prompt": "x", "size": "y"}):
        with pytest.raises(RuntimeError, match="submit"):
            slack.submit(shown, values)


def test_modals_on_top_of_each_other(slack: FakeSlack) -> None:
    client = WebClient(BOT_TOKEN, base_url=slack.api_url)
    more = {"type": "button", "action_id": "more", "text": {"type": "plain_text", "text": "more"}}
    body = modal(blocks=[{"type": "actions", "elements": [more]}])
    client.views_open(trigger_id=trigger(slack), view=body)
    opened = []

    def push() -> Any:
        opened.append(slack.modal())
        pressed = slack.delivery(slack.press_in_view(opened[-1], "more"))["payload"]
        return client.views_push(trigger_id=pressed["trigger_id"], view=body)

    push()
    push()
    assert error(push) == "push_limit_reached"
    assert len({view["id"] for view in opened}) == 3
    assert slack.close(opened[-1]) == "", "the app did not ask to be told"
    assert slack.modal() == opened[1]


def test_files_in_a_form(slack: FakeSlack) -> None:
    client = WebClient(BOT_TOKEN, base_url=slack.api_url)
    box = {"type": "file_input", "action_id": "file", "max_files": 1, "filetypes": ["png"]}
    block = {"type": "input", "label": {"type": "plain_text", "text": "x"}, "element": box}
    client.views_open(trigger_id=trigger(slack), view=modal(blocks=[block]))
    shown = slack.modal()
    assert shown is not None
    small, other = slack.file("a.png", picture()), slack.file("b.jpg", picture("JPEG"))
    large, largest = (slack.file("c.png", b"x" * (10_000_000 + more)) for more in (1, 0))
    for files, said in (
        ([small, largest], "too many files"),
        ([other], "only png"),
        ([large], "more than 10 MB"),
        ([], "must be filled in"),
    ):
        with pytest.raises(RuntimeError, match=said):
            slack.submit(shown, files={"file": files})
    sent = slack.delivery(slack.submit(shown, files={"file": [largest]}))["payload"]
    [state] = sent["view"]["state"]["values"].values()
    assert [file["size"] for file in state["file"]["files"]] == [10_000_000]


def test_a_home(client: WebClient, shared_slack: FakeSlack) -> None:
    def home(text: str) -> Json:
        block = {"type": "section", "text": {"type": "plain_text", "text": text}}
        return {"type": "home", "blocks": [block]}

    client.views_publish(user_id=ALICE, view=home("welcome"))
    client.views_publish(user_id=ALICE, view=home("welcome back"))
    shown = shared_slack.home(ALICE)
    assert shown is not None
    assert shown["text"] == "welcome back"
    assert shared_slack.home(BOB) is None


def test_a_response_url_has_five_uses_in_thirty_minutes(slack: FakeSlack) -> None:
    def url() -> WebhookClient:
        payload = slack.delivery(slack.command("/imagine", channel=OUTSIDE))["payload"]
        return WebhookClient(payload["response_url"])

    first, late = url(), url()
    for number in range(5):
        assert first.send(text=str(number)).status_code == 200
    used = first.send(text="6")
    assert (used.status_code, used.body) == (404, '{"ok": false, "error": "used_url"}')
    slack.move_clock(29 * 60)
    assert late.send(text="late", response_type="in_channel").status_code == 200
    slack.move_clock(61)
    assert "expired_url" in late.send(text="too late").body
    seen = [m["text"] for m in slack.seen(OUTSIDE, user=BOB)]
    assert seen == ["late"], "the others are for who gave the command"


# With Bolt, over Socket Mode and over HTTP.


class Running:
    """An app in a thread of its own, so that a test can wait for what it does."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()

    def do(self, what: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(30)

    def stop(self) -> None:
        self.do(_cancel_others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


async def _cancel_others() -> None:
    """Bolt's clients leave tasks behind."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


def little_app(slack: FakeSlack, heard: list[Json]) -> AsyncApp:
    client = AsyncWebClient(BOT_TOKEN, base_url=slack.api_url)
    app = AsyncApp(client=client, signing_secret=SIGNING_SECRET)

    @app.command("/imagine")
    async def imagine(ack: Any, body: Json, client: AsyncWebClient) -> None:
        if body["text"] == "sleep":
            await asyncio.sleep(3.2)
        await ack(f"you said {body['text']}")
        element = {
            "type": "button",
            "action_id": "edit",
            "text": {"type": "plain_text", "text": "E"},
        }
        blocks = [{"type": "actions", "elements": [element]}]
        await client.chat_postMessage(channel=body["channel_id"], text="done", blocks=blocks)

    async def edit(ack: Any, body: Json, client: AsyncWebClient) -> None:
        await ack()
        heard.append(body)
        view = modal(callback_id="edited", notify_on_close=True)
        await client.views_open(trigger_id=body["trigger_id"], view=view)

    app.action("edit")(edit)
    app.shortcut("draw")(edit)
    app.shortcut("use")(edit)

    @app.view("edited")
    async def edited(ack: Any, body: Json) -> None:
        heard.append(body)
        wrong = body["view"]["state"]["values"]["p"]["prompt"]["value"] == "no"
        await (ack(response_action="errors", errors={"p": "not that"}) if wrong else ack())

    async def note(ack: Any, body: Json) -> None:
        heard.append(body)
        await ack()

    app.view_closed("edited")(note)
    for event in ("app_mention", "message", "app_home_opened", "app_uninstalled"):
        app.event(event)(note)
    return app


@pytest.fixture
def heard() -> list[Json]:
    return []


@pytest.fixture(params=["socket", "http"])
def running(
    request: pytest.FixtureRequest, slack: FakeSlack, heard: list[Json]
) -> Iterator[FakeSlack]:
    """The little app, connected."""
    app, home = little_app(slack, heard), Running()
    slack.loosen(1_000_000)
    if request.param == "socket":
        handler = home.do(_connected(app))
        stop = handler.close_async
    else:
        runner = home.do(_listening(app))
        slack.listen(f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events")
        stop = runner.cleanup
    yield slack
    home.do(stop())
    home.stop()


async def _connected(app: AsyncApp) -> AsyncSocketModeHandler:
    handler = AsyncSocketModeHandler(app, APP_TOKEN)
    await handler.connect_async()
    return handler


async def _listening(app: AsyncApp) -> web.AppRunner:
    runner = web.AppRunner(app.server(port=0).web_app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner


def test_a_command(running: FakeSlack) -> None:
    told = running.heard(running.command("/imagine", "an apple"))
    assert told["acknowledged"]
    running.until(lambda: len(running.seen()) == 2)
    assert [m["notification"] for m in running.seen(user=BOB)] == ["done"]
    assert {m["notification"] for m in running.seen()} == {"you said an apple", "done"}
    assert running.status()["violations"] == []


def test_a_command_acknowledged_too_late(running: FakeSlack) -> None:
    told = running.heard(running.command("/imagine", "sleep"))
    assert (told["acknowledged"], len(told["attempts"])) == (False, 1), "commands do not come again"
    [words] = [m["text"] for m in running.seen() if m["user"] == SLACKBOT]
    assert words == "/imagine failed with the error “operation_timeout”"


def test_a_command_that_reaches_nobody(slack: FakeSlack) -> None:
    slack.heard(slack.command("/imagine"))
    assert "dispatch_failed" in slack.seen()[0]["text"]


def test_a_button_a_modal_and_its_errors(running: FakeSlack, heard: list[Json]) -> None:
    running.command("/imagine", "an apple")
    [message] = running.until(lambda: [m for m in running.seen() if m["buttons"]])
    running.press(message, "edit", user=BOB)
    view = running.until(lambda: running.modal(BOB))
    answer = running.heard(running.submit(view, {"prompt": "no"}))["answer"]
    assert answer["response_action"] == "errors"
    shown = running.modal(BOB)
    assert shown is not None
    assert shown["errors"] == {"p": "not that"}
    running.heard(running.submit(view, {"prompt": "yes"}))
    running.until(lambda: running.modal(BOB) is None)
    running.until(lambda: len(heard) == 3)
    pressed, _, submitted = heard
    assert pressed["message"]["ts"] == pressed["container"]["message_ts"] == message["ts"]
    assert submitted["view"]["state"]["values"]["p"]["prompt"]["value"] == "yes"
    assert running.status()["violations"] == []


def test_shortcuts_and_a_modal_that_is_closed(running: FakeSlack, heard: list[Json]) -> None:
    running.heard(running.shortcut("draw"))
    view = running.until(running.modal)
    running.heard(running.close(view))
    running.until(lambda: len(heard) == 2)
    file = running.file("apple.png", picture())
    said = running.say("look", channel=OUTSIDE, files=(file,))
    assert said["delivery"] == "", "it is told only of what it may read"
    running.heard(running.message_shortcut("use", running.seen(OUTSIDE)[0]))
    running.until(lambda: len(heard) == 3)
    kinds = [body["type"] for body in heard]
    assert kinds == ["shortcut", "view_closed", "message_action"]
    assert heard[2]["message"]["files"][0]["id"] == file
    assert running.status()["violations"] == []


def test_events(running: FakeSlack, heard: list[Json]) -> None:
    file = running.file("apple.png", picture())
    named = running.say(f"<@{BOT_USER}> an apple", files=(file,))
    running.heard(named["delivery"])
    running.heard(running.say("a pear", channel=running.direct_channel())["delivery"])
    connect = running.say(f"<@{BOT_USER}> a plum", channel=SHARED, files=(file,))
    running.heard(connect["delivery"])
    running.heard(running.open_home())
    running.until(lambda: len(heard) == 4)
    events = sorted((body["event"] for body in heard), key=lambda event: event["event_ts"])
    assert [event["type"] for event in events] == [
        "app_mention",
        "message",
        "app_mention",
        "app_home_opened",
    ]
    assert (events[0]["ts"], events[0]["files"][0]["id"]) == (named["ts"], file)
    assert events[1]["channel_type"] == "im"
    assert events[2]["files"][0]["file_access"] == "check_file_info"
    assert running.say("nothing for the app")["delivery"] == ""
    assert running.status()["violations"] == []


def test_an_event_comes_again(running: FakeSlack, heard: list[Json]) -> None:
    id = running.say(f"<@{BOT_USER}> an apple")["delivery"]
    running.heard(id)
    running.redeliver(id, 4)
    running.until(lambda: len(heard) == 5)
    assert len({body["event_id"] for body in heard}) == 1
    retries = sorted(attempt["retry"] for attempt in running.delivery(id)["attempts"])
    assert retries == [0, 1, 2, 3, 4]


def test_whole_organisations(running: FakeSlack, heard: list[Json]) -> None:
    running.install(team=False)
    running.heard(running.shortcut("draw"))
    running.heard(running.open_home())
    running.until(lambda: len(heard) == 2)
    shortcut, event = heard
    assert (shortcut["team"], shortcut["enterprise"]["id"]) == (None, ENTERPRISE)
    assert shortcut["is_enterprise_install"] is True
    assert event["authorizations"][0]["team_id"] is None
    command = running.delivery(running.command("/imagine"))["payload"]
    assert (command["enterprise_id"], command["is_enterprise_install"]) == (ENTERPRISE, "true")


def test_removal(running: FakeSlack, heard: list[Json]) -> None:
    running.revoke()
    running.until(lambda: any(b["event"]["type"] == "app_uninstalled" for b in heard))


def test_an_event_that_nobody_takes_comes_again_by_slacks_clock(slack: FakeSlack) -> None:
    slack.listen("http://127.0.0.1:1/nobody")
    id = slack.open_home()

    def attempts() -> int:
        return len(slack.delivery(id)["attempts"])

    slack.until(lambda: attempts() == 2)
    for seconds, tries in ((61, 3), (301, 4)):
        slack.move_clock(seconds)
        slack.until(lambda tries=tries: attempts() == tries)  # type: ignore[misc]
    slack.move_clock(10_000)
    assert attempts() == 4


def test_sockets_break_and_are_renewed(slack: FakeSlack, heard: list[Json]) -> None:
    home = Running()
    handler = home.do(_connected(little_app(slack, heard)))
    slack.refresh()
    slack.until(lambda: slack.status()["opened"] == 2 and slack.status()["connected"] == 1)
    assert slack.heard(slack.open_home())["acknowledged"]
    slack.drop()
    slack.until(lambda: slack.status()["connected"] == 0)
    home.do(handler.client.connect_to_new_endpoint())
    assert slack.heard(slack.open_home())["acknowledged"]
    home.do(handler.close_async())
    home.stop()


def test_signatures(slack: FakeSlack, heard: list[Json]) -> None:
    slack.loosen(1_000_000)
    home = Running()
    runner = home.do(_listening(little_app(slack, heard)))
    slack.listen(f"http://127.0.0.1:{runner.addresses[0][1]}/slack/events")
    challenge = slack.verify_url()
    assert (challenge["status"], "3eZbrw1aB" in str(challenge["body"])) == (200, True)
    payload = slack.delivery(slack.command("/imagine", "x"))["payload"]
    assert slack.forge("slash_commands", payload)["status"] == 401
    old = slack.forge("slash_commands", payload, secret=SIGNING_SECRET, age_seconds=301)
    fresh = slack.forge("slash_commands", payload, secret=SIGNING_SECRET, age_seconds=299)
    assert (old["status"], fresh["status"]) == (401, 200)
    home.do(runner.cleanup())
    home.stop()


# What goes wrong on order.


def test_faults(slack: FakeSlack) -> None:
    client = WebClient(BOT_TOKEN, base_url=slack.api_url, retry_handlers=[])
    slack.loosen(1_000_000)

    def post(text: str) -> Any:
        return client.chat_postMessage(channel=PICTURES, text=text)

    slack.fault(path="chat.*", times=1)
    with pytest.raises((SlackApiError, SlackRequestError)):
        post("done, but nobody says so")
    slack.fault(path="chat.*", times=1, after=False)
    with pytest.raises((SlackApiError, SlackRequestError)):
        post("not done")
    slack.fault(path="chat.*", times=1, cut=True)
    with pytest.raises(Exception, match=r"closed|reset|Remote end"):
        post("cut off")
    slack.fault(path="chat.*", times=1, status=429, seconds=7)
    with pytest.raises(SlackApiError) as limited:
        post("not now")
    assert limited.value.response.headers["Retry-After"] == "7"
    slack.fault(path="auth.test", times=1, error="internal_error")
    assert error(client.auth_test) == "internal_error"
    assert slack.clear_faults() == 5
    post("after all")
    assert [m["text"] for m in slack.seen()] == [
        "done, but nobody says so",
        "cut off",
        "after all",
    ]


def test_faults_with_a_probability_follow_the_seed(slack: FakeSlack) -> None:
    client = WebClient(BOT_TOKEN, base_url=slack.api_url)

    def hits(seed: int) -> list[bool]:
        slack.reset(seed)
        slack.fault(path="auth.test", probability=0.5, error="fatal_error")
        return [is_refused(client.auth_test) for _ in range(12)]

    first = hits(1)
    assert first == hits(1)
    assert 0 < sum(first) < 12


@pytest.mark.parametrize("after", [False, True])
def test_a_caller_that_hangs_up_while_it_is_held(slack: FakeSlack, after: bool) -> None:
    client = WebClient(BOT_TOKEN, base_url=slack.api_url, retry_handlers=[], timeout=1)
    slack.fault(path="chat.postMessage", status=0, seconds=2, after=after, times=1)
    with pytest.raises(TimeoutError):
        client.chat_postMessage(channel=PICTURES, text="hello?")
    assert slack.status()["faults_hit"] == 1
    slack.until(lambda: slack.seen() or slack.status()["counts"].get("chat.postMessage hung up"))
    assert [m["text"] for m in slack.seen()] == (["hello?"] if after else [])


def test_nothing_is_left_after_a_reset(slack: FakeSlack) -> None:
    def everything() -> Json:
        kept = {"status": slack.status(), "history": slack.history(), "files": slack.files()}
        return kept | {"modal": slack.modal(), "home": slack.home(), "clock": slack.move_clock(0)}

    slack.reset()
    new = everything()
    slack.fault(path="chat.delete")
    slack.person(ALICE, locale="fr-FR", admin=True)
    slack.channel(PICTURES, member=False)
    slack.settings(uploads_allowed=False)
    slack.move_clock(3600)
    slack.revoke()
    slack.say("hello")
    slack.file("a.png", picture())
    assert everything() != new
    slack.reset()
    assert everything() == new
    client = WebClient(BOT_TOKEN, base_url=slack.api_url)
    posted = client.chat_postMessage(channel=PICTURES, text="hello")
    user = client.users_info(user=ALICE, include_locale=True)["user"]
    assert (user["locale"], user["is_admin"]) == ("en-US", False)
    assert client.files_getUploadURLExternal(filename="a.png", length=3)["ok"]
    assert client.chat_delete(channel=PICTURES, ts=posted["ts"])["ok"]


def test_every_answer_is_like_slacks_samples(shared_slack: FakeSlack) -> None:
    """Of all that the tests before have asked for."""
    if specs_folder() is None:
        pytest.skip("EASEL_SPECS is not set")
    unlike = [v for v in shared_slack.status()["violations"] if "sample" in v]
    assert unlike == []
