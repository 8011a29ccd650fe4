"""Conditions that find the rows of one account.

Rows that releases before 0004 wrote, or still write during an upgrade, have no tenant. For a
request it is then read from the place where it was made; for all other rows about a job, from that
job's request.
"""

from dataclasses import dataclass

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    exists,
    func,
    or_,
    select,
)

from storage.domain import Account, Platform
from storage.forgotten import pseudonym
from storage.tables import (
    BanRow,
    InboxRow,
    JobRow,
    RequestRow,
    ReviewRow,
    SanctionRow,
    UsageRow,
    row_by_row,
)


@dataclass(frozen=True, kw_only=True)
class Unsaid:
    """An account as bound parameters: statements that run for every request are built once, and
    `given` fills in the account each time."""

    platform: BindParameter[str]
    tenant: BindParameter[str]
    user_id: BindParameter[str]
    pseudonym: BindParameter[str]


UNSAID = Unsaid(
    platform=bindparam("account_platform"),
    tenant=bindparam("account_tenant"),
    user_id=bindparam("account_user"),
    pseudonym=bindparam("account_pseudonym"),
)
Whose = Account | Unsaid
"""The account itself, or parameters for one."""


def given(account: Account) -> dict[str, str]:
    """Values for the parameters of UNSAID."""
    return {
        "account_platform": account.platform,
        "account_tenant": account.tenant,
        "account_user": account.user_id,
        "account_pseudonym": pseudonym(account),
    }


tenant: ColumnElement[str] = case(
    (RequestRow.tenant != "", RequestRow.tenant),
    (
        RequestRow.platform == Platform.SLACK,
        func.coalesce(func.nullif(RequestRow.enterprise_id, ""), RequestRow.workspace_id),
    ),
    else_="",
)
"""Of who made a request; `of_request` says the same of a row at hand."""


def of_request(row: RequestRow) -> Account:
    known = row.tenant
    if not known and row.platform == Platform.SLACK:
        known = row.enterprise_id or row.workspace_id
    return Account(platform=Platform(row.platform), user_id=row.user_id, tenant=known)


def asked(whose: Whose) -> ColumnElement[bool]:
    """Their requests."""
    return and_(
        RequestRow.platform == whose.platform,
        RequestRow.user_id == whose.user_id,
        tenant == whose.tenant,
    )


def asked_among_few(whose: Whose) -> ColumnElement[bool]:
    """The same, where other conditions leave fewer rows than the index of people does."""
    return and_(
        row_by_row(RequestRow.platform) == whose.platform,
        row_by_row(RequestRow.user_id) == whose.user_id,
        tenant == whose.tenant,
    )


def counted(whose: Unsaid) -> ColumnElement[bool]:
    """Usage that counts against them: what may be theirs does, and what they have had forgotten."""
    return and_(
        UsageRow.platform == whose.platform,
        UsageRow.user_id.in_([whose.user_id, whose.pseudonym]),
        UsageRow.tenant.in_([whose.tenant, ""]),
    )


def used(whose: Whose) -> ColumnElement[bool]:
    """Usage that is surely theirs."""
    of_theirs = exists().where(
        JobRow.id == UsageRow.job_id, RequestRow.id == JobRow.request_id, asked(whose)
    )
    known = UsageRow.tenant == whose.tenant
    return and_(
        UsageRow.platform == whose.platform,
        UsageRow.user_id == whose.user_id,
        UsageRow.tenant.in_([whose.tenant, ""]),
        or_(known, of_theirs.correlate(UsageRow)),
    )


_reported_in = case((ReviewRow.opened_tenant != "", ReviewRow.opened_tenant), else_=tenant)


def reported(whose: Whose) -> ColumnElement[bool]:
    """What they have reported, which people do where the request was made."""
    there = exists().where(
        JobRow.id == ReviewRow.job_id,
        RequestRow.id == JobRow.request_id,
        RequestRow.platform == whose.platform,
        _reported_in == whose.tenant,
    )
    return and_(ReviewRow.opened_by == whose.user_id, there.correlate(ReviewRow))


def reported_as(account: Account) -> ColumnElement[bool]:
    """Reports under either name that somebody has today: their own, and the one under which they
    are forgotten until midnight."""
    return ReviewRow.opened_by.in_([account.user_id, pseudonym(account)])


def counted_reports(account: Account) -> ColumnElement[bool]:
    """Reports that count against them: what is theirs, and what they have had forgotten."""
    return or_(reported(account), ReviewRow.opened_by == pseudonym(account))


def heard(whose: Whose) -> ColumnElement[bool]:
    """What they asked for that is not taken yet."""
    return and_(
        InboxRow.platform == whose.platform,
        InboxRow.tenant == whose.tenant,
        InboxRow.user_id == whose.user_id,
        InboxRow.body != "",
    )


IS_BAN = and_(SanctionRow.kind == "ban", SanctionRow.ended_at.is_(None))


def sanctioned(whose: Whose) -> ColumnElement[bool]:
    """What was decided about them, at any time and for any place."""
    return and_(
        SanctionRow.platform == whose.platform,
        SanctionRow.user_id == whose.user_id,
        or_(SanctionRow.tenant.is_(None), SanctionRow.tenant == whose.tenant),
    )


def banned_of_old(whose: Whose) -> ColumnElement[bool]:
    """Bans by releases that knew no tenants hold for the id in all of them."""
    return and_(BanRow.platform == whose.platform, BanRow.user_id == whose.user_id)


NAMED: tuple[Select[str, str, str], ...] = (
    select(RequestRow.platform, tenant, RequestRow.user_id),
    select(UsageRow.platform, UsageRow.tenant, UsageRow.user_id),
    select(InboxRow.platform, InboxRow.tenant, InboxRow.user_id),
    select(RequestRow.platform, _reported_in, ReviewRow.opened_by)
    .join(JobRow, JobRow.request_id == RequestRow.id)
    .join(ReviewRow, ReviewRow.job_id == JobRow.id),
)
"""Platform, tenant and id of everybody that a row names."""
