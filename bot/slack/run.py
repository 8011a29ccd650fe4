"""`easel slack`: Socket Mode or signed HTTP, with the deliverer and the reaper beside it."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import aiohttp
from aiohttp import web
from slack_bolt.adapter.aiohttp import to_aiohttp_response, to_bolt_request
from slack_bolt.adapter.socket_mode.aiohttp import AsyncSocketModeHandler

from bot.deliver import Deliverer
from bot.reaper import Reaper
from bot.slack.app import Easel, create_app
from bot.slack.errors import OPERATORS
from bot.slack.manifest import EVENTS_PATH
from bot.slack.show import SlackShow
from bot.slack.workspaces import web_client
from bot.watch import watched
from storage import metrics, troubles
from storage.domain import Platform
from storage.health import WELL
from storage.settings import Settings, host_and_port

BODY_BYTES = 4 * 2**20
ANSWER_SECONDS = 30
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)


async def serve(settings: Settings) -> int:
    """Until cancelled. Raises ValueError when the settings lack what Slack needs,
    slack_sdk.errors.SlackApiError when it refuses a token, and aiohttp.ClientError or TimeoutError
    when it does not answer."""
    app = create_app(settings)
    async with connect(app, settings) as socket:
        there = partial(gateway, app, socket)
        metrics.GATEWAY_CONNECTED.labels("slack").set_function(lambda: there() == WELL)
        cards = troubles.shows(app.line.database, Platform.SLACK, OPERATORS)
        with watched(app.line, gateway=there, cards=cards):
            async with asyncio.TaskGroup() as group:
                group.create_task(Deliverer(app.line, SlackShow(app.line, app.workspaces)).run())
                group.create_task(Reaper(app.line).run())
                group.create_task(app.inbox.run())
    return 0


def gateway(app: Easel, socket: AsyncSocketModeHandler | None) -> str:
    """What keeps Slack and us apart; WELL if nothing does."""
    if app.workspaces.locked:
        return "EASEL_ENCRYPTION_KEY opens the token of no workspace"
    lost = socket is not None and not _is_connected(socket)
    return "not connected to Slack" if lost else WELL


def _is_connected(socket: AsyncSocketModeHandler) -> bool:
    session = socket.client.current_session
    return session is not None and not session.closed


@asynccontextmanager
async def connect(app: Easel, settings: Settings) -> AsyncIterator[AsyncSocketModeHandler | None]:
    """Inside the block Slack's events come in: by Socket Mode if there is an app-level token,
    else by HTTP. With OAuth there is HTTP in any case, for who installs the app. An app that
    speaks HTTP has a signing secret, or could not be made."""
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=ANSWER_SECONDS))
        )
        app.client.session = app.workspaces.session = session
        stack.push_async_callback(app.inbox.close)
        await app.workspaces.identify(app.client)
        app.inbox.application = app.workspaces.application
        socket = None
        if settings.slack_app_token is not None:
            token = settings.slack_app_token.get_secret_value()
            client = web_client(settings, token, patient=True)
            socket = AsyncSocketModeHandler(app, token, web_client=client)
            stack.push_async_callback(socket.close_async)
            await socket.connect_async()  # type: ignore[no-untyped-call]
        if app.speaks_http:
            runner = web.AppRunner(web_app(app), access_log=None)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await _listen(runner, settings.slack_address)
        yield socket


async def _listen(runner: web.AppRunner, address: str) -> None:
    """Raises ValueError, in words for the operator, where that cannot be."""
    try:
        await web.TCPSite(runner, *host_and_port(address)).start()
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else type(error).__name__
        raise ValueError(f"EASEL_SLACK_ADDRESS: {address} cannot be had ({why}).") from None


def web_app(app: Easel) -> web.Application:
    """What Slack posts to, and the pages with which a workspace installs the app."""

    async def events(request: web.Request) -> web.Response:
        stamp = request.headers.get("X-Slack-Request-Timestamp", "")
        try:
            asked = await to_bolt_request(request)
        except Exception:
            # Bolt reads it before it looks at the signature, so anybody may have written it: no
            # UTF-8, no object, or nested without end.
            asked = None
        if asked is None or not _SECONDS.fullmatch(stamp):
            # Slack sends neither, and Bolt would stumble over it.
            return web.json_response({"error": "invalid request"}, status=401)
        return await to_aiohttp_response(await app.async_dispatch(asked))

    pages = web.Application(client_max_size=BODY_BYTES)
    pages.router.add_post(EVENTS_PATH, events)
    flow = app.oauth_flow
    if flow is not None:

        async def install(request: web.Request) -> web.Response:
            answer = await flow.handle_installation(await to_bolt_request(request))
            return await to_aiohttp_response(answer)

        async def installed(request: web.Request) -> web.Response:
            answer = await flow.handle_callback(await to_bolt_request(request))
            return await to_aiohttp_response(answer)

        pages.router.add_get(flow.install_path, install)
        pages.router.add_get(flow.redirect_uri_path, installed)
    return pages
