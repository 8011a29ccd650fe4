"""Where a request's picture comes from: drawn from words alone, or from somewhere outside."""

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from storage.domain import ImageRequest, Kept
from storage.tables import JobRow, PictureRow, RequestRow


def outside(session: Session, request: ImageRequest) -> bool:
    """Whether it descends, over any number of steps, from a picture that Easel did not draw from
    words alone. What nobody remembers does."""
    if request.source is None and request.reference is None:
        return False
    if isinstance(request.source, Kept):
        sha256 = request.source.sha256
    elif request.source is None and request.reference is not None:
        sha256 = request.reference.sha256
    else:
        return True
    drawn = (
        select(_OUTSIDE)
        .join(JobRow, JobRow.request_id == RequestRow.id)
        .join(PictureRow, PictureRow.job_id == JobRow.id)
        .where(PictureRow.sha256 == sha256)
    )
    used = select(_OUTSIDE).where(RequestRow.reference_sha256 == sha256)
    known = {*session.scalars(drawn), *session.scalars(used)}
    return True in known or not known


def of_row(row: RequestRow) -> bool:
    """What is written down, or for a row of an older Easel whether it has a reference at all."""
    return row.reference_sha256 is not None if row.outside is None else row.outside


_OUTSIDE = func.coalesce(RequestRow.outside, RequestRow.reference_sha256.is_not(None))
