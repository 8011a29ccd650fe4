"""People in the fake Slack: what they do becomes payloads for the bot, and what the bot answers
becomes what they see.

Payloads: docs.slack.dev, "Interaction payloads", "Slash commands" and the events' own pages.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from tests.fakes.slack_methods import Methods
from tests.fakes.slack_payloads import (
    DOMAIN,
    ENTERPRISE_NAME,
    enterprise_payload,
    file_payload,
    message_payload,
    team_payload,
    view_payload,
)
from tests.fakes.slack_state import (
    APP,
    BOT_USER,
    INPUT_FILE_BYTES,
    SLACKBOT,
    TEAM,
    Channel,
    File,
    Installation,
    Message,
    Refused,
    ResponseUrl,
    State,
    View,
)
from tests.fakes.slack_wire import COMMANDS, EVENTS, INTERACTIVE, Attempt, Delivery, Wire
from tests.wire.slack_api import TYPED, Violation, check_sample, specs_folder

Json = dict[str, Any]
VERIFICATION = "fake-verification-token"
SAMPLES = {
    "block_actions": "BlockActionPayload",
    "message_action": "MessageShortcutPayload",
    "view_submission": "ViewSubmissionPayload",
    "view_closed": "ViewClosedPayload",
}


class People:
    def __init__(self, state: State, methods: Methods, wire: Wire) -> None:
        self._state, self._methods, self._wire = state, methods, wire

    # What they do. Each returns the delivery's id.

    def command(self, *, name: str, text: str, user: str, channel: str) -> str:
        place, installation = self._place(channel), self._installation
        payload = {
            "token": VERIFICATION,
            "team_id": TEAM,
            "team_domain": DOMAIN,
            "channel_id": place.id,
            "channel_name": _shown_name(place),
            "user_id": self._state.person(user).id,
            "user_name": user[2:].lower(),
            "command": name,
            "text": text,
            "api_app_id": APP,
            "is_enterprise_install": str(installation.team_id is None).lower(),
            "response_url": self._response_url(place.id, user),
            "trigger_id": self._state.trigger(user),
        }
        if installation.enterprise_id:
            payload["enterprise_id"] = installation.enterprise_id
            payload["enterprise_name"] = ENTERPRISE_NAME
        self._check("SlashCommandPayload", {**payload, "is_enterprise_install": False})

        def settle(attempt: Attempt) -> None:
            if attempt.failure:
                error = "operation_timeout" if "timeout" in attempt.failure else "dispatch_failed"
                words = f"{name} failed with the error “{error}”"
                self._state.post(place.id, SLACKBOT, {"text": words, "only_for": user})
            elif attempt.body:
                body = {"text": attempt.body} if isinstance(attempt.body, str) else attempt.body
                self._put(lambda: self._methods.answer_in_place(place.id, user, body))

        return self._tell(COMMANDS, payload, settle)

    def press(
        self, *, channel: str, ts: str, action: str, value: str, user: str, chosen: list[str]
    ) -> str:
        """A button (of several with one `action_id`, that with `value`) or a select."""
        message = self._state.messages[channel, ts]
        element, block = _element(message.blocks, action, value)
        place = self._place(channel)
        container: Json = {"type": "message", "message_ts": ts, "channel_id": channel}
        container["is_ephemeral"] = message.only_for is not None
        payload = {
            **self._interaction("block_actions", user),
            "container": container,
            "trigger_id": self._state.trigger(user),
            "channel": {"id": channel, "name": _shown_name(place)},
            "state": {"values": {}},
            "response_url": self._response_url(channel, user, message),
            "actions": [self._action(element, block, chosen)],
        }
        if message.only_for is None:
            payload["message"] = message_payload(self._state, message, self._base_url)
        if message.thread_ts:
            container["thread_ts"] = message.thread_ts
        return self._tell(INTERACTIVE, payload, _nothing)

    def press_in_view(self, *, view: str, action: str, value: str, chosen: list[str]) -> str:
        """In a modal, or in somebody's App Home."""
        shown = self._view(view)
        element, block = _element(shown.body["blocks"], action, value)
        payload = {
            **self._interaction("block_actions", shown.user),
            "container": {"type": "view", "view_id": view},
            "trigger_id": self._state.trigger(shown.user, view),
            "view": view_payload(shown, self._installation),
            "actions": [self._action(element, block, chosen)],
        }
        return self._tell(INTERACTIVE, payload, _nothing)

    def submit(self, *, view: str, values: Json, files: dict[str, list[str]]) -> str:
        """`values` and `files` (ids) by `action_id`; what is not named keeps its first value."""
        shown = self._view(view)
        filled = self._filled(shown, values, files)
        payload = {
            **self._interaction("view_submission", shown.user),
            "trigger_id": self._state.trigger(shown.user, view),
            "view": view_payload(shown, self._installation, state_values=filled),
            "response_urls": [],
        }

        def settle(attempt: Attempt) -> None:
            if not attempt.failure:
                self._put(lambda: self._answer_submission(shown, attempt.body or {}))

        return self._tell(INTERACTIVE, payload, settle)

    def close(self, *, view: str) -> str:
        """The app hears of it if it asked to."""
        shown = self._view(view)
        shown.closed = True
        if not shown.body.get("notify_on_close"):
            return ""
        payload = self._interaction("view_closed", shown.user)
        payload |= {"view": view_payload(shown, self._installation), "is_cleared": False}
        return self._tell(INTERACTIVE, payload, _nothing)

    def shortcut(self, *, callback_id: str, user: str) -> str:
        payload = self._interaction("shortcut", user)
        payload |= {"callback_id": callback_id, "trigger_id": self._state.trigger(user)}
        return self._tell(INTERACTIVE, {**payload, "action_ts": self._state.new_ts()}, _nothing)

    def message_shortcut(self, *, callback_id: str, channel: str, ts: str, user: str) -> str:
        message = self._state.messages[channel, ts]
        payload = self._interaction("message_action", user)
        del payload["api_app_id"]
        payload["user"].pop("username")
        payload |= {
            "callback_id": callback_id,
            "trigger_id": self._state.trigger(user),
            "message_ts": ts,
            "response_url": self._response_url(channel, user, message),
            "channel": {"id": channel, "name": _shown_name(self._place(channel))},
            "message": message_payload(self._state, message, self._base_url),
            "action_ts": self._state.new_ts(),
        }
        return self._tell(INTERACTIVE, payload, _nothing)

    def say(
        self, *, text: str, user: str, channel: str, thread: str | None, files: list[str]
    ) -> Json:
        """A message; the app is told of it if it is named there, or if it is written to. Its ts,
        and the delivery's id or nothing."""
        place = self._place(channel)
        body = {"text": text, "thread_ts": thread, "files": files}
        message = self._state.post(channel, user, body)
        delivery = ""
        if place.direct:
            delivery = self.tell_message(message)
        elif place.member and f"<@{BOT_USER}>" in text:
            delivery = self._event({**self._event_message(message), "type": "app_mention"})
        return {"ts": message.ts, "delivery": delivery}

    def open_home(self, *, user: str) -> str:
        event: Json = {"type": "app_home_opened", "user": user, "tab": "home"}
        event |= {"channel": self._state.direct_channel(user).id, "event_ts": self._state.new_ts()}
        if user in self._state.homes:
            event["view"] = view_payload(self._state.homes[user], self._installation)
        return self._event(event)

    def tell_message(self, message: Message) -> str:
        """message.im; the app hears of its own messages too."""
        return self._event({**self._event_message(message), "channel_type": "im"})

    def uninstalled(self) -> str:
        tokens = {"oauth": [], "bot": [BOT_USER]}
        self._event({"type": "tokens_revoked", "tokens": tokens})
        return self._event({"type": "app_uninstalled"})

    # How it is told.

    @property
    def _base_url(self) -> str:
        return self._methods.base_url

    @property
    def _installation(self) -> Installation:
        return next(iter(self._state.installations.values()))

    def _tell(self, kind: str, payload: Json, settle: Callable[[Attempt], None]) -> str:
        if kind == INTERACTIVE and payload["type"] in SAMPLES:
            sampled = {key: v for key, v in payload.items() if key != "response_urls"}
            self._check(SAMPLES[payload["type"]], sampled)  # Slack's sample leaves them out.
        id = self._state.id("Dl")
        return self._wire.tell(Delivery(id=id, kind=kind, payload=payload, settle=settle))

    def _check(self, name: str, payload: Json) -> None:
        if specs_folder() is None:
            return
        try:
            check_sample(name, payload)
        except Violation as wrong:
            self._state.violations.append(f"not like Slack's sample: {wrong}")

    def _put(self, act: Callable[[], None]) -> None:
        """What the app's answer asks for, or a violation."""
        try:
            act()
        except Refused as refused:
            self._state.violations.append(f"answer to an interaction: {refused}")

    def _place(self, channel: str) -> Channel:
        return self._state.channels[channel]

    def _response_url(self, channel: str, user: str, message: Message | None = None) -> str:
        token = self._state.id("R")
        self._state.response_urls[token] = ResponseUrl(
            channel=channel,
            user=user,
            at=self._state.now(),
            original=message.ts if message else None,
            thread_ts=message.thread_ts if message else None,
        )
        return f"{self._base_url}/response/{token}"

    def _interaction(self, kind: str, user: str) -> Json:
        """What all interactions have; the workspace is missing in those of a whole organisation."""
        installation, name = self._installation, user[2:].lower()
        whole = installation.team_id is None
        person = self._state.person(user)
        return {
            "type": kind,
            "team": None if whole else team_payload(TEAM, installation.enterprise_id),
            "enterprise": enterprise_payload(installation.enterprise_id),
            "is_enterprise_install": whole,
            "user": {"id": user, "username": name, "name": name, "team_id": person.team},
            "api_app_id": APP,
            "token": VERIFICATION,
        }

    def _event(self, event: Json) -> str:
        installation = self._installation
        authorization = {
            "enterprise_id": installation.enterprise_id,
            "team_id": installation.team_id,
            "user_id": BOT_USER,
            "is_bot": True,
            "is_enterprise_install": installation.team_id is None,
        }
        payload: Json = {
            "token": VERIFICATION,
            "team_id": TEAM,
            "api_app_id": APP,
            "event": event,
            "type": "event_callback",
            "event_id": self._state.id("Ev"),
            "event_time": int(self._state.now()),
            "authorizations": [authorization],
            "is_ext_shared_channel": False,
        }
        if installation.enterprise_id:
            payload["enterprise_id"] = installation.enterprise_id
        return self._tell(EVENTS, payload, _nothing)

    def _event_message(self, message: Message) -> Json:
        payload = message_payload(self._state, message, self._base_url)
        payload |= {"channel": message.channel, "event_ts": message.ts}
        payload.pop("upload", None)
        if message.files:
            payload["subtype"] = "file_share"
        return payload

    # Inside blocks.

    def _action(self, element: Json, block_id: str, chosen: list[str]) -> Json:
        action = {
            "action_id": element.get("action_id", ""),
            "block_id": block_id,
            "type": element["type"],
            "action_ts": self._state.new_ts(),
        }
        for name in ("text", "value", "style", "placeholder"):
            if name in element:
                action[name] = element[name]
        if chosen:
            [action["selected_option"]] = [o for o in _options(element) if o["value"] in chosen]
        return action

    def _view(self, id: str) -> View:
        view = self._state.views.get(id)
        view = view or next(v for v in self._state.homes.values() if v.id == id)
        if view.closed:
            raise ValueError(f"{id} is closed")
        return view

    def _filled(self, view: View, values: Json, files: dict[str, list[str]]) -> Json:
        """State of every input. Raises ValueError for what Slack's own client would not send."""
        filled: Json = {}
        unknown = {*values, *files}
        for index, block in enumerate(view.body["blocks"]):
            if block["type"] != "input":
                continue
            element = block["element"]
            action = element.get("action_id", "")
            unknown.discard(action)
            state = self._input_state(element, values.get(action), files.get(action, []))
            if not block.get("optional") and _is_empty(state):
                raise ValueError(f"{action} must be filled in")
            filled.setdefault(block.get("block_id", f"b{index}"), {})[action] = state
        if unknown:
            raise ValueError(f"the modal has no {', '.join(sorted(unknown))}")
        return filled

    def _input_state(self, element: Json, value: Any, files: list[str]) -> Json:
        kind = element["type"]
        state: Json = {"type": kind}
        if kind == "file_input":
            given = [self._state.files[id] for id in files]
            _check_files(element, given)
            state["files"] = [file_payload(self._state, f, self._base_url) for f in given]
        elif kind in TYPED:
            text = element.get("initial_value") if value is None else str(value)
            least, most = element.get("min_length", 0), element.get("max_length", 3000)
            if text and not least <= len(text) <= most:
                raise ValueError(f"between {least} and {most} characters, not {len(text)}")
            if text and kind == "number_input" and not _in_range(element, text):
                raise ValueError(f"{text} is no number that fits")
            state["value"] = text or None
        elif kind == "multi_conversations_select":
            chosen = element.get("initial_conversations", []) if value is None else value
            if unknown := set(chosen) - set(self._state.channels):
                raise ValueError(f"there are no channels {', '.join(unknown)}")
            state["selected_conversations"] = list(chosen)
        elif kind in ("checkboxes", "multi_static_select"):
            wanted = value if value is not None else _values(element.get("initial_options", []))
            state["selected_options"] = [o for o in _options(element) if o["value"] in wanted]
        else:
            first = (element.get("initial_option") or {}).get("value")
            wanted = first if value is None else value
            known = [o for o in _options(element) if o["value"] == wanted]
            if wanted and not known:
                raise ValueError(f"there is no option {wanted}")
            state["selected_option"] = known[0] if known else None
        return state

    def _answer_submission(self, view: View, answer: Json) -> None:
        """Closes the modal, unless the app has other wishes."""
        action = answer.get("response_action")
        if action == "errors":
            ids = [b.get("block_id") for b in view.body["blocks"] if b["type"] == "input"]
            wrong = set(answer["errors"]) - set(ids)
            if wrong or not answer["errors"]:
                raise Refused("errors_for_no_input", *wrong)
            view.errors = answer["errors"]
        elif action == "update":
            self._state.change_view(view, answer["view"])
        elif action == "push":
            pushed = self._state.put_view(view.user, answer["view"])
            pushed.root, pushed.previous = view.root, view.id
            self._state.views[pushed.id] = pushed
        elif action in (None, "clear"):
            for other in self._state.views.values():
                if other is view or (action == "clear" and other.root == view.root):
                    other.closed = True
        else:
            raise Refused("unknown_response_action", json.dumps(action))


def _nothing(_: Attempt) -> None:
    """Slack shows a small warning sign at most."""


def _shown_name(channel: Channel) -> str:
    if channel.direct:
        return "directmessage"
    return "privategroup" if channel.private else channel.name


def _element(blocks: list[Json], action: str, value: str) -> tuple[Json, str]:
    """The one element that can be pressed, and its block's id. Raises ValueError."""
    found = [
        (element, block.get("block_id", f"b{index}"))
        for index, block in enumerate(blocks)
        for element in [*block.get("elements", []), block.get("accessory")]
        if element
        and element.get("action_id") == action
        and (not value or element.get("value") == value)
    ]
    if len(found) != 1:
        raise ValueError(f"{len(found)} elements {action} {value}".strip())
    return found[0]


def _options(element: Json) -> list[Json]:
    groups = [option for group in element.get("option_groups", []) for option in group["options"]]
    return [*element.get("options", []), *groups]


def _values(options: list[Json]) -> list[str]:
    return [option["value"] for option in options]


def _is_empty(state: Json) -> bool:
    return not any(value for key, value in state.items() if key != "type")


def _in_range(element: Json, text: str) -> bool:
    """Decimals are not for the fake."""
    least, most = float(element.get("min_value", "-inf")), float(element.get("max_value", "inf"))
    return text.lstrip("-").isdecimal() and least <= int(text) <= most


def _check_files(element: Json, files: list[File]) -> None:
    if len(files) > element.get("max_files", 10):
        raise ValueError("too many files")
    if any(file.size > INPUT_FILE_BYTES for file in files):
        raise ValueError("a file of more than 10 MB")
    kinds = element.get("filetypes")
    if kinds and any(file.name.rpartition(".")[2].lower() not in kinds for file in files):
        raise ValueError(f"only {', '.join(kinds)}")
