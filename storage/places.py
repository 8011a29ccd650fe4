"""What the people who manage a server have chosen, and which workers are alive."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import bindparam, delete, select
from sqlalchemy.orm import Session

from storage.domain import Platform
from storage.tables import WorkerRow, WorkspaceRow


@dataclass(frozen=True, kw_only=True)
class WorkspaceRules:
    """Without a row in the database: everything allowed, the settings' defaults."""

    channels: tuple[str, ...] = ()
    """Channels where Easel answers; empty is everywhere."""
    default_model: str | None = None
    daily_pictures: int | None = None
    """Per person; None is the setting."""
    paused: bool = False

    def quota(self, most: int) -> int:
        """Pictures per person and day, where the operator allows so many at most."""
        return most if self.daily_pictures is None else min(self.daily_pictures, most)


def rules(session: Session, platform: Platform, workspace_id: str) -> WorkspaceRules:
    """Direct messages are nobody's server: there the defaults hold."""
    given = {"chat": platform, "server": workspace_id}
    row = session.execute(_RULES, given).one_or_none() if workspace_id else None
    if row is None:
        return WorkspaceRules()
    return WorkspaceRules(
        channels=tuple(row.channels),
        default_model=row.default_model,
        daily_pictures=row.daily_pictures,
        paused=row.paused,
    )


_RULES = select(
    *(WorkspaceRow.channels, WorkspaceRow.default_model),
    *(WorkspaceRow.daily_pictures, WorkspaceRow.paused),
).where(
    WorkspaceRow.platform == bindparam("chat"),
    WorkspaceRow.workspace_id == bindparam("server"),
)


def set_rules(
    session: Session, platform: Platform, workspace_id: str, chosen: WorkspaceRules
) -> None:
    """Raises ValueError for direct messages, which nobody manages."""
    if not workspace_id:
        raise ValueError("direct messages have no rules")
    session.merge(
        WorkspaceRow(
            platform=platform,
            workspace_id=workspace_id,
            channels=list(chosen.channels),
            default_model=chosen.default_model,
            daily_pictures=chosen.daily_pictures,
            paused=chosen.paused,
        )
    )


def change(
    session: Session,
    platform: Platform,
    workspace_id: str,
    to: Callable[[WorkspaceRules], WorkspaceRules],
) -> WorkspaceRules:
    """Read, change and write in one transaction; the new rules."""
    chosen = to(rules(session, platform, workspace_id))
    set_rules(session, platform, workspace_id, chosen)
    return chosen


@dataclass(frozen=True, kw_only=True)
class LiveWorker:
    name: str
    models: tuple[str, ...]
    loaded: tuple[str, ...]
    """Models that are in its memory now."""
    seen_at: datetime


def worker_seen(
    session: Session, name: str, models: Sequence[str], loaded: Sequence[str], now: datetime
) -> None:
    """A worker's sign of life."""
    session.merge(WorkerRow(name=name, models=list(models), loaded=list(loaded), seen_at=now))


def worker_gone(session: Session, name: str) -> None:
    session.execute(delete(WorkerRow).where(WorkerRow.name == name))


def live_workers(session: Session, now: datetime, within: timedelta) -> list[LiveWorker]:
    rows = session.scalars(select(WorkerRow).where(WorkerRow.seen_at > now - within))
    return [
        LiveWorker(
            name=row.name,
            models=tuple(row.models),
            loaded=tuple(row.loaded),
            seen_at=row.seen_at,
        )
        for row in rows
    ]
