"""People who ask in the fake Discord, and what they must find there in the end."""

from __future__ import annotations

from storage.domain import JobState
from tests.chaos.harness import Process, Site, until
from tests.fakes.discord_client import FakeDiscord, Seen


class Chat:
    def __init__(self, site: Site, discord: FakeDiscord) -> None:
        self.site, self.discord = site, discord
        self.asked: dict[str, str] = {}
        """Interaction → prompt."""

    def connected(self, bot: Process) -> None:
        """Wait until this bot listens; a bot that ended says why."""

        def listening() -> bool:
            assert bot.alive, bot.log
            return bool(self.discord.status()["connected"])

        until(listening, "the bot is connected")

    def restart(self, bot: Process) -> None:
        """`kill -9`, and wait until the next one listens."""
        before = self.discord.status()["identified"]
        bot.kill()
        bot.start()

        def listening() -> bool:
            assert bot.alive, bot.log
            return bool(self.discord.status()["identified"] > before)

        until(listening, "the bot is connected again")

    def ask(self, prompt: str = "", **given: object) -> str:
        """A request of somebody who has not asked before; the interaction."""
        number = len(self.asked) + 1
        prompt = prompt or f"a red apple number {number}"
        asked = self.discord.imagine(prompt, **{"user": 9000 + number} | given)  # type: ignore[arg-type]
        self.asked[asked] = prompt
        return asked

    def wait_for(self, asked: str, state: JobState) -> None:
        """Until this request has come so far, or is finished."""

        def there() -> bool:
            self.site.check_processes()
            entry = self.site.entries().get(asked)
            return entry is not None and (
                state is JobState.WAITING or entry.state is state or entry.state.finished
            )

        until(there, f"the request is {state}")

    def accepted(self) -> set[str]:
        return self.asked.keys() & self.site.entries().keys()

    def messages(self) -> dict[str, list[Seen]]:
        """What everybody sees, by the interaction that it came from."""
        found: dict[str, list[Seen]] = {}
        for message in self.discord.seen():
            found.setdefault(message["interaction_id"], []).append(message)
        return found

    def wait_for_results(self, *asked: str, seconds: float = 120) -> None:
        """Until each of these (of all that were accepted) shows a picture."""

        def missing() -> list[str]:
            self.site.check_processes()
            messages = self.messages()
            wanted = asked or self.accepted()
            return [id for id in wanted if not any(m["files"] for m in messages.get(id, []))]

        until(lambda: not missing(), "every accepted request shows its picture", seconds)

    def thinking(self) -> list[str]:
        """Who was told that we have it, and no more yet."""
        self.site.check_processes()
        found = self.messages().items()
        return [asked for asked, shown in found if any(m["thinking"] for m in shown)]

    def check(self) -> None:
        """Every accepted request shows in exactly one message, which says its prompt and holds
        its pictures; nothing else in the channel holds any."""
        messages, entries = self.messages(), self.site.entries()
        for asked, prompt in self.asked.items():
            shown = messages.get(asked, [])
            if asked not in entries:
                assert all(m["ephemeral"] for m in shown), ("never accepted", shown)
                continue
            assert len(shown) == 1, (prompt, shown)
            assert shown[0]["title"] == prompt
            assert [f["sha256"] for f in shown[0]["files"]] == [
                picture.sha256 for picture in entries[asked].pictures
            ]
            assert shown[0]["files"], prompt
        assert messages.keys() <= self.asked.keys()
