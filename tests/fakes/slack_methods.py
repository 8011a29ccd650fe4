"""The Web API of the fake Slack, without HTTP: from a method's name and arguments to its answer.

Errors and arguments are those of the methods' pages on docs.slack.dev.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.fakes.slack_payloads import (
    ENTERPRISE_NAME,
    SITE,
    channel_payload,
    enterprise_payload,
    file_payload,
    message_payload,
    user_payload,
    view_payload,
)
from tests.fakes.slack_state import (
    APP,
    BOT,
    BOT_USER,
    ENTERPRISE,
    MOD,
    PUSHED_VIEWS,
    SCOPES,
    TEAM,
    Installation,
    Message,
    Refused,
    State,
    View,
)
from tests.wire.slack_api import HOME, MODAL, UPLOAD, Violation, check_blocks

Args = dict[str, Any]
Answer = dict[str, Any]
CLIENT_ID, CLIENT_SECRET = "100.200", "fake-client-secret"


@dataclass
class Methods:
    state: State
    socket_address: Callable[[], str]
    base_url: str

    def call(self, method: str, args: Args) -> Answer:
        """Raises Refused."""
        if method == "oauth.v2.access":
            return self.oauth_access(args)
        if method == "apps.connections.open":
            return self.connections_open(args)
        if method not in METHODS:
            raise Refused("unknown_method", req_method=method)
        scope, required, handler = METHODS[method]
        installation = self._installation(args.get("token", ""))
        if scope and scope not in installation.scopes:
            provided = ",".join(sorted(installation.scopes))
            raise Refused("missing_scope", needed=scope, provided=provided)
        missing = [name for name in required if not args.get(name)]
        if missing:
            words = [f"[ERROR] missing required field: {name}" for name in missing]
            raise Refused("invalid_arguments", *words)
        return handler(self, installation, args)

    def _installation(self, token: str) -> Installation:
        if not token:
            raise Refused("not_authed")
        if token == self.state.app_token:
            raise Refused("not_allowed_token_type")
        if token not in self.state.installations:
            raise Refused("invalid_auth")
        installation = self.state.installations[token]
        if installation.revoked:
            raise Refused("token_revoked")
        return installation

    # Tokens.

    def oauth_access(self, args: Args) -> Answer:
        """Once for each code."""
        if args.get("client_id") != CLIENT_ID:
            raise Refused("invalid_client_id")
        if args.get("client_secret") != CLIENT_SECRET:
            raise Refused("bad_client_secret")
        if args.get("code") not in self.state.codes:
            raise Refused("invalid_code")
        team = self.state.codes.pop(args["code"])
        enterprise = ENTERPRISE if team is None else None
        token = f"xoxb-{secrets.token_hex(12)}"
        self.state.installations[token] = Installation(
            token=token, team_id=team, enterprise_id=enterprise, scopes=set(SCOPES.split(","))
        )
        return {
            "access_token": token,
            "token_type": "bot",
            "scope": SCOPES,
            "bot_user_id": BOT_USER,
            "app_id": APP,
            "team": {"id": team, "name": "Atelier"} if team else None,
            "enterprise": enterprise_payload(enterprise),
            "is_enterprise_install": team is None,
            "authed_user": {"id": MOD},
        }

    def connections_open(self, args: Args) -> Answer:
        token = args.get("token", "")
        if not token:
            raise Refused("not_authed")
        if token in self.state.installations:
            raise Refused("not_allowed_token_type")
        if token != self.state.app_token or self.state.app_token_revoked:
            raise Refused("invalid_auth")
        return {"url": self.socket_address()}

    def auth_test(self, installation: Installation, _: Args) -> Answer:
        return {
            "url": f"{SITE}/",
            "team": "Atelier" if installation.team_id else ENTERPRISE_NAME,
            "user": "easel",
            "team_id": installation.team_id or ENTERPRISE,
            "user_id": BOT_USER,
            "bot_id": BOT,
            "is_enterprise_install": installation.team_id is None,
            **({"enterprise_id": ENTERPRISE} if installation.enterprise_id else {}),
        }

    def team_info(self, installation: Installation, args: Args) -> Answer:
        id = args.get("team") or installation.team_id or TEAM
        return {"team": {"id": id, "name": "Atelier", "domain": "atelier"}}

    def bot_info(self, _: Installation, args: Args) -> Answer:
        if args["bot"] != BOT:
            raise Refused("bot_not_found")
        bot = {"id": BOT, "app_id": APP, "user_id": BOT_USER, "name": "easel", "deleted": False}
        return {"bot": bot}

    # Messages.

    def post(self, installation: Installation, args: Args) -> Answer:
        target = args["channel"]
        if target.startswith("U"):
            target = self.state.direct_channel(target).id
        channel = self._writable(installation, target)
        message = self.state.post(channel, BOT_USER, _message(args))
        payload = message_payload(self.state, message, self.base_url, metadata=True)
        return {"channel": channel, "ts": message.ts, "message": payload}

    def _writable(self, installation: Installation, channel_id: str) -> str:
        channel = self.state.channel(channel_id)
        open_to_all = "chat:write.public" in installation.scopes and not channel.private
        if channel.member or channel.archived or not open_to_all:
            self.state.own_channel(channel_id)
        return channel_id

    def update(self, _: Installation, args: Args) -> Answer:
        self.state.own_channel(args["channel"])
        message = self._own(args["channel"], args["ts"], "cant_update_message")
        self.state.update(message, _message(args))
        payload = message_payload(self.state, message, self.base_url, metadata=True)
        where = {"channel": message.channel, "ts": message.ts}
        return {**where, "text": message.text, "message": payload}

    def delete(self, _: Installation, args: Args) -> Answer:
        self.state.channel(args["channel"])
        self.state.delete(self._own(args["channel"], args["ts"], "cant_delete_message"))
        return {"channel": args["channel"], "ts": args["ts"]}

    def _own(self, channel: str, ts: str, error: str) -> Message:
        message = self.state.of_channel(channel, ts)
        if message.user != BOT_USER:
            raise Refused(error)
        return message

    def post_ephemeral(self, _: Installation, args: Args) -> Answer:
        self.state.own_channel(args["channel"])
        self.state.person(args["user"])
        body = {**_message(args), "only_for": args["user"]}
        return {"message_ts": self.state.post(args["channel"], BOT_USER, body).ts}

    def permalink(self, _: Installation, args: Args) -> Answer:
        message = self.state.of_channel(self.state.channel(args["channel"]).id, args["message_ts"])
        link = f"{SITE}/archives/{message.channel}/p{message.ts.replace('.', '')}"
        if message.thread_ts:
            link += f"?thread_ts={message.thread_ts}&cid={message.channel}"
        return {"channel": message.channel, "permalink": link}

    # Conversations and people.

    def conversation_info(self, _: Installation, args: Args) -> Answer:
        return {"channel": channel_payload(self.state.channel(args["channel"]))}

    def members(self, _: Installation, args: Args) -> Answer:
        channel = self.state.channel(args["channel"])
        inside = [channel.direct, BOT_USER] if channel.direct else list(channel.people)
        inside = inside or [id for id in self.state.people if id != BOT_USER or channel.member]
        start, limit = int(args.get("cursor") or 0), int(args.get("limit") or 100)
        more = len(inside) > start + limit
        cursor = {"next_cursor": str(start + limit) if more else ""}
        return {"members": inside[start : start + limit], "response_metadata": cursor}

    def conversation_open(self, _: Installation, args: Args) -> Answer:
        users = str(args.get("users", "")).split(",")
        if args.get("channel"):
            return {"channel": {"id": self.state.channel(args["channel"]).id}}
        if users == [""]:
            raise Refused("users_list_not_supplied")
        if len(users) > 1:
            raise Refused("not_supported_by_the_fake")
        return {"channel": {"id": self.state.direct_channel(users[0]).id}}

    def history(self, _: Installation, args: Args) -> Answer:
        found = [m for m in self._readable(args) if m.thread_ts is None]
        return self._page(args, list(reversed(found)))

    def replies(self, _: Installation, args: Args) -> Answer:
        found = [m for m in self._readable(args) if args["ts"] in (m.ts, m.thread_ts)]
        if not found:
            raise Refused("thread_not_found")
        return self._page(args, found)

    def _readable(self, args: Args) -> list[Message]:
        channel = self.state.channel(args["channel"])
        if not channel.member:
            raise Refused("not_in_channel")
        oldest, latest = args.get("oldest") or "0", args.get("latest") or "9" * 12
        inside = [
            m
            for m in self.state.messages.values()
            if m.channel == channel.id and not m.deleted and m.only_for is None
        ]
        if str(args.get("inclusive", "")).lower() in ("1", "true"):
            return [m for m in inside if float(oldest) <= float(m.ts) <= float(latest)]
        return [m for m in inside if float(oldest) < float(m.ts) < float(latest)]

    def _page(self, args: Args, found: list[Message]) -> Answer:
        start, limit = int(args.get("cursor") or 0), int(args.get("limit") or 100)
        metadata = str(args.get("include_all_metadata", "")).lower() in ("1", "true")
        messages = [
            message_payload(self.state, m, self.base_url, metadata=metadata)
            for m in found[start : start + limit]
        ]
        more = len(found) > start + limit
        cursor = {"next_cursor": str(start + limit) if more else ""}
        return {"messages": messages, "has_more": more, "response_metadata": cursor}

    def user_info(self, _: Installation, args: Args) -> Answer:
        wanted = str(args.get("include_locale", "")).lower() in ("1", "true")
        return {"user": user_payload(self.state.person(args["user"]), with_locale=wanted)}

    # Views.

    def view_open(self, installation: Installation, args: Args) -> Answer:
        return self._open(installation, args, pushed=False)

    def view_push(self, installation: Installation, args: Args) -> Answer:
        return self._open(installation, args, pushed=True)

    def _open(self, installation: Installation, args: Args, *, pushed: bool) -> Answer:
        if args["view"].get("type") != MODAL:
            raise Refused("invalid_arguments", "[ERROR] only modals can be opened")
        trigger = self.state.take_trigger(args["trigger_id"])
        below = self.state.views.get(trigger.view or "")
        if pushed and below is None:
            raise Refused("invalid_trigger_id")
        view = self.state.put_view(trigger.user, args["view"])
        if pushed and below is not None:
            stack = [v for v in self.state.views.values() if v.root == below.root and not v.closed]
            if len(stack) >= PUSHED_VIEWS:
                raise Refused("push_limit_reached")
            view.root, view.previous = below.root, below.id
        self.state.views[view.id] = view
        return {"view": view_payload(view, installation)}

    def view_update(self, installation: Installation, args: Args) -> Answer:
        view = self._view(args)
        if args.get("hash") and args["hash"] != view.hash:
            raise Refused("hash_conflict")
        self.state.change_view(view, args["view"])
        return {"view": view_payload(view, installation)}

    def _view(self, args: Args) -> View:
        wanted = args.get("view_id"), args.get("external_id")
        for view in self.state.views.values():
            named = view.body.get("external_id") or None
            if not view.closed and (view.id == wanted[0] or (named and named == wanted[1])):
                return view
        raise Refused("not_found")

    def view_publish(self, installation: Installation, args: Args) -> Answer:
        user = self.state.person(args["user_id"]).id
        if args["view"].get("type") != HOME:
            raise Refused("invalid_arguments", "[ERROR] only homes can be published")
        known = self.state.homes.get(user)
        if known is None:
            view = self.state.put_view(user, args["view"])
            self.state.homes[user] = view
        elif args.get("hash") and args["hash"] != known.hash:
            raise Refused("hash_conflict")
        else:
            view = self.state.change_view(known, args["view"])
        return {"view": view_payload(view, installation)}

    # Files.

    def upload_url(self, _: Installation, args: Args) -> Answer:
        if not self.state.uploads_allowed:
            raise Refused("file_uploads_disabled")
        size = int(args["length"])
        if size > self.state.upload_limit_bytes:
            raise Refused("file_upload_size_restricted")
        alt = args.get("alt_txt") or ""
        if len(alt) > 1000:
            raise Refused("invalid_arguments", "[ERROR] alt_txt of more than 1000 characters")
        file = self.state.new_file(args["filename"], size, BOT_USER, alt=alt)
        return {"upload_url": f"{self.base_url}/upload/v1/{file.id}", "file_id": file.id}

    def complete_upload(self, _: Installation, args: Args) -> Answer:
        files = []
        for given in args["files"]:
            file = self.state.files.get(given.get("id", ""))
            if file is None or file.data is None or file.completed_at is not None:
                raise Refused("file_not_found")
            file.title = given.get("title") or file.name
            files.append(file)
        channel = args.get("channel_id") or args.get("channels")
        if channel:
            self.state.own_channel(channel)
        blocks = [] if args.get("initial_comment") else args.get("blocks") or []
        try:
            check_blocks(blocks, UPLOAD)
        except Violation as wrong:
            raise Refused("invalid_blocks", f"[ERROR] {wrong}") from None
        share = {
            "channel": channel,
            "thread_ts": args.get("thread_ts"),
            "text": args.get("initial_comment") or "",
            "blocks": blocks,
            "surface": UPLOAD,
            "together": [file.id for file in files],
        }
        for file in files:
            file.completed_at = self.state.now()
            file.ready_at = self.state.now() + self.state.ready_after_seconds
        if channel:
            files[-1].share = share
        return {"files": [file_payload(self.state, file, self.base_url) for file in files]}

    def file_info(self, _: Installation, args: Args) -> Answer:
        file = self.state.files.get(args["file"])
        if file is None or file.completed_at is None:
            raise Refused("file_not_found")
        if file.deleted:
            raise Refused("file_deleted")
        payload = file_payload(self.state, file, self.base_url)
        paging = {"count": 100, "total": 0, "page": 1, "pages": 0}
        return {"file": payload, "comments": [], "paging": paging}

    def file_delete(self, _: Installation, args: Args) -> Answer:
        file = self.state.files.get(args["file"])
        if file is None:
            raise Refused("file_not_found")
        if file.deleted:
            raise Refused("file_deleted")
        if file.user != BOT_USER:
            raise Refused("cant_delete_file")
        file.deleted, file.data, file.share = True, None, None
        return {}

    # Responses.

    def answer_in_place(
        self, channel: str, user: str, body: Args, original: str | None = None
    ) -> None:
        """What a response URL, or the acknowledgement of a command, puts into the channel."""
        message = self.state.messages.get((channel, original or ""))
        if body.get("delete_original") and message is not None:
            self.state.delete(message)
        elif body.get("replace_original") and message is not None:
            self.state.update(message, _message(body))
        else:
            hidden = body.get("response_type", "ephemeral") == "ephemeral"
            only_for = user if hidden else None
            self.state.post(channel, BOT_USER, {**_message(body), "only_for": only_for})


def _message(args: Args) -> Args:
    """Of a method's arguments, what belongs to the message."""
    names = ("text", "blocks", "attachments", "metadata", "thread_ts")
    return {name: args[name] for name in names if args.get(name) is not None}


Handler = Callable[[Methods, Installation, Args], Answer]
METHODS: dict[str, tuple[str, tuple[str, ...], Handler]] = {
    "auth.test": ("", (), Methods.auth_test),
    "bots.info": ("users:read", ("bot",), Methods.bot_info),
    "chat.delete": ("chat:write", ("channel", "ts"), Methods.delete),
    "chat.getPermalink": ("", ("channel", "message_ts"), Methods.permalink),
    "chat.postEphemeral": ("chat:write", ("channel", "user"), Methods.post_ephemeral),
    "chat.postMessage": ("chat:write", ("channel",), Methods.post),
    "chat.update": ("chat:write", ("channel", "ts"), Methods.update),
    "conversations.history": ("channels:history", ("channel",), Methods.history),
    "conversations.info": ("channels:read", ("channel",), Methods.conversation_info),
    "conversations.members": ("channels:read", ("channel",), Methods.members),
    "conversations.open": ("im:write", (), Methods.conversation_open),
    "conversations.replies": ("channels:history", ("channel", "ts"), Methods.replies),
    "files.completeUploadExternal": ("files:write", ("files",), Methods.complete_upload),
    "files.delete": ("files:write", ("file",), Methods.file_delete),
    "files.getUploadURLExternal": ("files:write", ("filename", "length"), Methods.upload_url),
    "files.info": ("files:read", ("file",), Methods.file_info),
    "team.info": ("team:read", (), Methods.team_info),
    "users.info": ("users:read", ("user",), Methods.user_info),
    "views.open": ("", ("trigger_id", "view"), Methods.view_open),
    "views.publish": ("", ("user_id", "view"), Methods.view_publish),
    "views.push": ("", ("trigger_id", "view"), Methods.view_push),
    "views.update": ("", ("view",), Methods.view_update),
}
"""Scope, required arguments and handler."""
