"""What each card looks like on the wire, in each language.

`EASEL_GOLDEN=write` writes the cards anew; read the difference before it is committed.
"""

import json
import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from bot.core.present import QueueView, present
from bot.discord.show import Content
from storage.domain import Decision, JobState, Place, Platform, Subject, Verdict
from storage.domain.job import FailureReason, Phase
from storage.log import LogEntry, LoggedPicture
from tests.fakes.nouns import a_request

FOLDER = Path(__file__).parents[2] / "golden" / "discord"
HELD = Verdict(subject=Subject.PROMPT, decision=Decision.HOLD, rule="words:hate")
BLOCKED = Verdict(subject=Subject.PROMPT, decision=Decision.BLOCK, rule="words:sexual")


def entry(locale: str, **changes: Any) -> LogEntry:
    entry = LogEntry(
        job_id=UUID(int=1),
        event_key="discord::1:interaction:1",
        request=a_request(),
        place=Place(platform=Platform.DISCORD, workspace_id="1", channel_id="2"),
        user_id="3",
        locale=locale,
        state=JobState.WAITING,
        phase=None,
        step=0,
        step_count=0,
        attempts=0,
        worker="",
        model_revision="",
        failure=None,
        cancel_requested=False,
        lease_until=None,
        queue_seconds=0.0,
        device_seconds=0.0,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        finished_at=None,
        pictures=(),
        verdicts=(),
        message_removed=False,
        held=False,
    )
    return replace(entry, **changes)


def pictures(*decisions: Decision) -> tuple[LoggedPicture, ...]:
    return tuple(
        LoggedPicture(
            index=index,
            seed=7 + index,
            sha256=f"{index}" * 64,
            media_type="image/png",
            width=256,
            height=256,
            size_bytes=1000,
            decision=decision,
            kept_apart=False,
            removed=False,
        )
        for index, decision in enumerate(decisions)
    )


ALLOW, BLOCK, HOLD = Decision.ALLOW, Decision.BLOCK, Decision.HOLD
QUEUE = QueueView(position=3, estimate_seconds=75, worker_alive=True)
CASES: dict[str, tuple[dict[str, Any], QueueView | None]] = {
    "waiting": ({}, QUEUE),
    "no worker": ({}, replace(QUEUE, position=1, worker_alive=False)),
    "no worker yet": ({}, replace(QUEUE, position=1, served=False)),
    "loading": ({"state": JobState.RUNNING, "phase": Phase.LOADING}, None),
    "drawing": (
        {"state": JobState.RUNNING, "phase": Phase.DRAWING, "step": 3, "step_count": 12},
        None,
    ),
    "drawing the second of four": (
        {
            "request": replace(a_request(), count=4),
            "state": JobState.RUNNING,
            "phase": Phase.DRAWING,
            "step": 70,
            "step_count": 200,
        },
        None,
    ),
    "one picture": ({"state": JobState.MADE, "pictures": pictures(ALLOW)}, None),
    "four pictures": (
        {"state": JobState.MADE, "pictures": pictures(ALLOW, BLOCK, ALLOW, ALLOW)},
        None,
    ),
    "all held": ({"state": JobState.MADE, "pictures": pictures(HOLD)}, None),
    "kept refused": (
        {"state": JobState.MADE, "pictures": pictures(BLOCK), "verdicts": ((0, HELD),)},
        None,
    ),
    "prompt refused": ({"state": JobState.REFUSED, "verdicts": ((None, BLOCKED),)}, None),
    "prompt held": (
        {"state": JobState.REFUSED, "verdicts": ((None, HELD),), "held": True},
        None,
    ),
    "prompt kept refused": (
        {"state": JobState.REFUSED, "verdicts": ((None, HELD),), "judged": "refuse"},
        None,
    ),
    "cancelled": ({"state": JobState.CANCELLED}, None),
    "failed": ({"state": JobState.FAILED, "failure": FailureReason.OUT_OF_MEMORY}, None),
}


def rendered(locale: str) -> dict[str, Any]:
    cards = {}
    for name, (changes, queue) in CASES.items():
        card = present(entry(locale, **changes), queue)
        content = Content(card, late=False)
        cards[name] = {
            "embed": content.embed.to_dict(),
            "components": content.view.to_components(),
            "alt_text": [picture.alt_text for picture in content.pictures],
        }
    return cards


@pytest.mark.parametrize("locale", ["en", "fr", "es"])
async def test_cards_look_as_they_did(locale: str) -> None:
    path, cards = FOLDER / f"{locale}.json", rendered(locale)
    if os.environ.get("EASEL_GOLDEN") == "write":
        path.write_text(json.dumps(cards, indent=2, ensure_ascii=False) + "\n", "utf-8")
    assert cards == json.loads(path.read_text("utf-8"))
