"""A test's hands on the fake Slack: start it, play people, order failures, look at the channel.

with FakeSlack() as slack:
    ...  # start the app with `slack.environment`, or a client with `slack.api_url`
    asked = slack.command("/imagine", "a red apple")
    slack.heard(asked)
    [message] = slack.seen()
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any, TypeVar

from tests.fakes.server import FakeServer
from tests.fakes.slack_state import ALICE, PICTURES

BOT_TOKEN, APP_TOKEN, SIGNING_SECRET = "xoxb-fake-bot", "xapp-fake-app", "fake-signing-secret"
PATIENCE_SECONDS = 30.0
Seen = dict[str, Any]
T = TypeVar("T")


class FakeSlack(FakeServer):
    """`seed` throws the dice of faults that have a probability."""

    def __init__(self, *, seed: int = 0, port: int = 0) -> None:
        super().__init__(
            "tests.fakes.slack_server",
            *("--seed", str(seed), "--port", str(port), "--bot-token", BOT_TOKEN),
            *("--app-token", APP_TOKEN, "--signing-secret", SIGNING_SECRET),
        )
        self.api_url = f"{self.url}/api/"

    @property
    def environment(self) -> dict[str, str]:
        """What `easel slack` needs to take it for Slack."""
        return {
            "EASEL_SLACK_BOT_TOKEN": BOT_TOKEN,
            "EASEL_SLACK_APP_TOKEN": APP_TOKEN,
            "EASEL_SLACK_SIGNING_SECRET": SIGNING_SECRET,
            "EASEL_SLACK_API_URL": self.api_url,
        }

    # What people do. Each returns the delivery's id.

    def command(
        self, name: str, text: str = "", *, user: str = ALICE, channel: str = PICTURES
    ) -> str:
        """A slash command; there are none in threads."""
        return str(self._do("command", name=name, text=text, user=user, channel=channel))

    def press(
        self,
        message: Seen,
        action: str,
        value: str = "",
        *,
        user: str = ALICE,
        chosen: tuple[str, ...] = (),
    ) -> str:
        """The one button (or select, with what is `chosen`) of this message with this action."""
        where = {"channel": message["channel"], "ts": message["ts"]}
        pressed = {"action": action, "value": value, "chosen": list(chosen)}
        return str(self._do("press", **where, **pressed, user=user))

    def press_in_view(
        self, view: Seen, action: str, value: str = "", *, chosen: tuple[str, ...] = ()
    ) -> str:
        pressed = {"action": action, "value": value, "chosen": list(chosen)}
        return str(self._do("press_in_view", view=view["id"], **pressed))

    def submit(
        self,
        view: Seen,
        values: dict[str, Any] | None = None,
        files: dict[str, list[str]] | None = None,
    ) -> str:
        """A modal; values, and ids of files, by `action_id`."""
        return str(self._do("submit", view=view["id"], values=values or {}, files=files or {}))

    def close(self, view: Seen) -> str:
        return str(self._do("close", view=view["id"]))

    def shortcut(self, callback_id: str, *, user: str = ALICE) -> str:
        return str(self._do("shortcut", callback_id=callback_id, user=user))

    def message_shortcut(self, callback_id: str, message: Seen, *, user: str = ALICE) -> str:
        where = {"channel": message["channel"], "ts": message["ts"]}
        return str(self._do("message_shortcut", callback_id=callback_id, **where, user=user))

    def say(
        self,
        text: str,
        *,
        user: str = ALICE,
        channel: str = PICTURES,
        thread: str | None = None,
        files: tuple[str, ...] = (),
    ) -> dict[str, str]:
        """A message: its `ts`, and the `delivery` if the app is told of it (a mention of it where
        it is a member, or a direct message)."""
        given = {"text": text, "user": user, "thread": thread, "files": list(files)}
        return dict(self._do("say", channel=channel, **given))

    def open_home(self, *, user: str = ALICE) -> str:
        return str(self._do("open_home", user=user))

    def file(self, name: str, data: bytes, *, user: str = ALICE) -> str:
        """Somebody uploads it; its id."""
        encoded = base64.b64encode(data).decode()
        return str(self._do("file", name=name, data=encoded, user=user))

    def remove(self, message: Seen) -> None:
        """Somebody deletes a message."""
        self._do("remove", channel=message["channel"], ts=message["ts"])

    def remove_file(self, file: str) -> None:
        self._do("remove_file", file=file)

    # The workspace.

    def person(self, id: str, **given: Any) -> None:
        """See `slack_state.Person`: `locale`, `admin`, `takes_direct`."""
        self._do("person", id=id, **given)

    def channel(self, id: str, **given: Any) -> None:
        """See `slack_state.Channel`: `member`, `private`, `archived`, `shared`."""
        self._do("channel", id=id, name=id[2:].lower(), **given)

    def direct_channel(self, user: str = ALICE) -> str:
        return str(self._do("direct_channel", user=user))

    def listen(self, url: str) -> None:
        """From now on the app takes signed HTTP there; empty is Socket Mode."""
        self._do("listen", url=url)

    def install(
        self,
        *,
        token: str = BOT_TOKEN,
        team: bool = True,
        enterprise: bool = False,
        scopes: str = "",
    ) -> None:
        """In a workspace, one of an Enterprise Grid, or (`team` False) in all of a Grid."""
        self._do("install", token=token, team=team, enterprise=enterprise, scopes=scopes)

    def authorise(self, *, team: bool = True) -> str:
        """An OAuth code, as somebody gets who allows the app."""
        return str(self._do("authorise", team=team))

    def reset(self, seed: int = 0) -> None:
        """Another Slack at the same address, in which nothing has happened."""
        self._do("reset", seed=seed)

    def settings(self, **given: Any) -> None:
        """`uploads_allowed`, `upload_limit_bytes`, `ready_after_seconds` (of files)."""
        self._do("settings", **given)

    # What goes wrong.

    def fault(self, **given: Any) -> None:
        """See `slack_rest.Fault`; by default a 502 after each call has taken effect."""
        self._do("fault", **given)

    def clear_faults(self) -> int:
        """How many requests the faults have hit."""
        return int(self._do("clear_faults"))

    def loosen(self, factor: float) -> None:
        """All rate limits, by this factor."""
        self._do("loosen", factor=factor)

    def drop(self) -> None:
        """Every socket breaks."""
        self._do("drop")

    def refresh(self) -> None:
        """Slack asks for new sockets."""
        self._do("refresh")

    def revoke(self, *, app_token: bool = False) -> None:
        """Somebody removes the app."""
        self._do("revoke", app_token=app_token)

    def redeliver(self, delivery: str, times: int = 1) -> None:
        """Again, so many times at once."""
        self._do("redeliver", delivery=delivery, times=times)

    def forge(
        self, kind: str, payload: Seen, *, secret: str = "wrong", age_seconds: float = 0.0
    ) -> Seen:
        """A request that does not come from Slack, or late: status, headers and body."""
        given = {"kind": kind, "payload": payload, "secret": secret, "age_seconds": age_seconds}
        return dict(self._do("forge", **given))

    def verify_url(self) -> Seen:
        return dict(self._do("verify_url"))

    def move_clock(self, seconds: float) -> float:
        """Slack's clock against that of the machine, in seconds, after the move."""
        return float(self._do("move_clock", seconds=seconds))

    # What there is to see.

    def seen(
        self, channel: str = PICTURES, *, user: str = ALICE, thread: str | None = None
    ) -> list[Seen]:
        """The messages of the channel (or of its thread) as this person finds them now."""
        return list(self._do("seen", channel=channel, user=user, thread=thread))

    def seen_direct(self, user: str = ALICE) -> list[Seen]:
        return self.seen(self.direct_channel(user), user=user)

    def history(self) -> list[Seen]:
        """Every message that ever was, with all that it said (`versions`)."""
        return list(self._do("history"))

    def message(self, seen: Seen) -> Seen:
        """Its `text` and `blocks`, as the bot wrote them."""
        return dict(self._do("message", channel=seen["channel"], ts=seen["ts"]))

    def modal(self, user: str = ALICE) -> Seen | None:
        """The modal that is open, the one on top."""
        found = self._do("modal", user=user)
        return dict(found) if found else None

    def home(self, user: str = ALICE) -> Seen | None:
        found = self._do("home", user=user)
        return dict(found) if found else None

    def files(self) -> list[Seen]:
        """What the bot has uploaded and not deleted."""
        return list(self._do("files"))

    def delivery(self, id: str) -> Seen:
        return dict(self._do("delivery", delivery=id))

    def heard(self, id: str) -> Seen:
        """The delivery, once the app has acknowledged it or 3 s have passed."""
        return self.until(lambda: found if (found := self.delivery(id))["done"] else None)

    def until(self, wanted: Callable[[], T | None]) -> T:
        """The first answer that is there. Raises TimeoutError."""
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            found = wanted()
            if found:
                return found
            time.sleep(0.02)
        raise TimeoutError(f"{wanted}: {self.status()}")

    def status(self) -> Seen:
        """Sockets, counts of answers, how many requests the faults have hit, and `violations`: what
        no app should send."""
        return dict(self._do("status"))
