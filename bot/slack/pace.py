"""Pace: how fast Slack lets us speak (docs.slack.dev, "Rate limits")."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

POST_SECONDS = 1.0
"""Between two messages in one channel."""
SPARE_EDITS = 25
"""Edits a minute, of the 50 that a workspace may make (Tier 3), that may tell of mere progress."""


class Pace:
    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._posted: dict[str, float] = {}
        self._held: dict[tuple[str, str], float] = {}
        self._edits: dict[str, deque[float]] = {}

    def wait_to_post(self, channel: str, ahead: int) -> float:
        """Seconds to wait for one's turn when so many are `ahead`; 0 takes the turn."""
        now = self._clock()
        free = self._posted.get(channel, -POST_SECONDS) + POST_SECONDS
        if not ahead and free <= now:
            self._posted[channel] = now
            return 0.0
        return max(0.0, free - now) + ahead * POST_SECONDS

    def posted(self, channel: str) -> None:
        """Slack has answered. From now on counts, since on the way to it the first of two messages
        may take longer than the second."""
        self._posted[channel] = self._clock()

    def hold(self, team: str, method: str, seconds: float) -> None:
        """Slack has said so: nothing of this kind in that workspace for so long."""
        self._held[team, method] = self._clock() + seconds

    def held(self, team: str, method: str) -> float:
        """Seconds for which it is still held."""
        return max(0.0, self._held.get((team, method), 0.0) - self._clock())

    def edited(self, team: str) -> None:
        self._edits.setdefault(team, deque(maxlen=SPARE_EDITS)).append(self._clock())

    def may_tell_progress(self, team: str) -> bool:
        """Whether an edit may be spent on what the next one says anyway."""
        edits = self._edits.get(team) or deque()
        return len(edits) < SPARE_EDITS or self._clock() - edits[0] > 60
