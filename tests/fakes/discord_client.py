"""A test's hands on the fake Discord: start it, play people, order failures, look at the channel.

with FakeDiscord() as discord:
    ...  # start `easel discord` with `discord.environment`
    asked = discord.imagine("a red apple", user=7)
    [message] = discord.seen()
"""

from __future__ import annotations

import base64
from typing import Any

from tests.fakes.discord_rest import PREFIX
from tests.fakes.discord_state import CHANNELS
from tests.fakes.server import FakeServer

TOKEN = "fake-discord-token"
PERSON = 9001
Seen = dict[str, Any]


class FakeDiscord(FakeServer):
    """`seed` throws the dice of faults that have a probability."""

    def __init__(self, *, seed: int = 0, port: int = 0) -> None:
        super().__init__(
            "tests.fakes.discord_server",
            *("--seed", str(seed), "--port", str(port), "--token", TOKEN),
        )

    @property
    def environment(self) -> dict[str, str]:
        """What `easel discord` and `easel doctor` need to take it for Discord."""
        return {
            "EASEL_DISCORD_TOKEN": TOKEN,
            "EASEL_DISCORD_API_URL": f"{self.url}{PREFIX}",
            "EASEL_DISCORD_GATEWAY_URL": f"{self.url.replace('http', 'ws')}/gateway",
        }

    # What people do. Each returns the interaction's id.

    def command(
        self,
        name: str,
        *,
        user: int = PERSON,
        channel: int = CHANNELS[0],
        locale: str = "en-US",
        files: dict[str, tuple[str, bytes]] | None = None,
        **options: Any,
    ) -> str:
        """A slash command; `name` may go on with its subcommand. `files`: option → name, bytes."""
        encoded = {
            option: [file_name, base64.b64encode(data).decode()]
            for option, (file_name, data) in (files or {}).items()
        }
        return str(
            self._do(
                "command",
                name=name,
                options=options,
                user=user,
                channel=channel,
                locale=locale,
                files=encoded,
            )
        )

    def imagine(self, prompt: str, **given: Any) -> str:
        return self.command("imagine", prompt=prompt, **given)

    def press(
        self,
        message: Seen,
        action: str,
        *,
        user: int = PERSON,
        values: tuple[str, ...] = (),
        locale: str = "en-US",
    ) -> str:
        """The one button (or select) of this message with this action."""
        [custom_id] = [i for i in message["custom_ids"] if i.split(":")[1] == action]
        return str(
            self._do(
                "press",
                message=int(message["id"]),
                custom_id=custom_id,
                user=user,
                values=list(values),
                locale=locale,
            )
        )

    def submit(
        self, opener: str, values: dict[str, str], *, user: int = PERSON, locale: str = "en-US"
    ) -> str:
        """The modal that the interaction `opener` was answered with."""
        return str(
            self._do("submit", interaction=int(opener), values=values, user=user, locale=locale)
        )

    def redeliver(self, interaction: str, times: int = 1) -> None:
        self._do("redeliver", interaction=int(interaction), times=times)

    def close_direct(self, user: int) -> None:
        """This person takes no direct messages any more."""
        self._do("close_direct", user=user)

    def remove(self, message: Seen) -> None:
        self._do("remove", message=int(message["id"]))

    # What goes wrong.

    def fault(self, **given: Any) -> None:
        """See `discord_rest.Fault`; by default a 502 after each write has taken effect."""
        self._do("fault", **given)

    def clear_faults(self) -> None:
        self._do("clear_faults")

    def limits(self, requests: int, seconds: float) -> None:
        """So many requests in so many seconds, for each bucket."""
        self._do("limits", requests=requests, seconds=seconds)

    def drop(self, *, code: int = 4000, forget: bool = False) -> None:
        """The gateway closes; with `forget` no session can be resumed."""
        self._do("drop", code=code, forget=forget)

    def revoke(self) -> None:
        """The bot token is dead."""
        self._do("revoke")

    def restore(self, token: str = TOKEN) -> None:
        self._do("restore", token=token)

    def move_clock(self, seconds: float) -> float:
        """Discord's clock against that of the machine, in seconds, after the move."""
        return float(self._do("move_clock", seconds=seconds))

    # What there is to see.

    def seen(self, channel: int = CHANNELS[0], user: int = PERSON) -> list[Seen]:
        """The messages of the channel as this person finds them now."""
        return list(self._do("seen", channel=channel, user=user))

    def seen_direct(self, user: int = PERSON) -> list[Seen]:
        return list(self._do("seen_direct", user=user))

    def history(self) -> list[Seen]:
        """Every message that ever was, with all that it said (`versions`)."""
        return list(self._do("history"))

    def interaction(self, interaction: str) -> dict[str, Any]:
        return dict(self._do("interaction", interaction=int(interaction)))

    def status(self) -> dict[str, Any]:
        """Connections, registered commands, counts of answers, how many requests the faults have
        hit, and `violations`: requests that the real Discord would refuse."""
        return dict(self._do("status"))
