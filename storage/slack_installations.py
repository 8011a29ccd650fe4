"""Who has installed the Slack app: sealed tokens by enterprise and team."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Row, and_, false, or_, select
from sqlalchemy import delete as delete_rows
from sqlalchemy.orm import Session

from storage.tables import SlackInstallationRow


def put(session: Session, enterprise_id: str, team_id: str, sealed: str, now: datetime) -> None:
    """`sealed` is the installation, encrypted by the caller."""
    session.merge(
        SlackInstallationRow(
            enterprise_id=enterprise_id, team_id=team_id, sealed=sealed, installed_at=now
        )
    )


def find(session: Session, enterprise_id: str, team_id: str) -> str | None:
    """The workspace's own, or else that of its whole enterprise. Events of shared channels may
    name a workspace without the enterprise that it is part of."""
    of_team = SlackInstallationRow.team_id == team_id
    of_enterprise = SlackInstallationRow.enterprise_id == enterprise_id
    whole = and_(of_enterprise, SlackInstallationRow.team_id == "") if enterprise_id else false()
    query = select(SlackInstallationRow).where(or_(of_team, whole) if team_id else whole)
    rows = session.scalars(query).all()
    ranked = sorted(rows, key=lambda r: (r.team_id != team_id, r.enterprise_id != enterprise_id))
    return ranked[0].sealed if ranked else None


def newest_first(session: Session) -> Sequence[Row[str, str, str]]:
    """`enterprise_id`, `team_id` and `sealed` of each."""
    of = SlackInstallationRow
    columns = select(of.enterprise_id, of.team_id, of.sealed)
    return session.execute(columns.order_by(of.installed_at.desc())).all()


def forget(session: Session, workspace_id: str) -> bool:
    """Of the workspace, or of the whole enterprise, that has this id. False if there was none."""
    of = SlackInstallationRow
    whole = and_(of.enterprise_id == workspace_id, of.team_id == "")
    gone = delete_rows(of).where(or_(of.team_id == workspace_id, whole)).returning(of.team_id)
    return bool(session.execute(gone).all())


def delete(session: Session, enterprise_id: str, team_id: str) -> None:
    session.execute(
        delete_rows(SlackInstallationRow).where(
            SlackInstallationRow.enterprise_id == enterprise_id,
            SlackInstallationRow.team_id == team_id,
        )
    )
