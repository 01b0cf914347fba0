"""Segments that a recovery has brought back as they were before they were archived.

`ft_ops.archive.keep.earlier` notes them when the archive is adopted, and a thaw of their month
makes them whole. An export before that would be the newer version of what it lacks.
"""

from __future__ import annotations

from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


def refuse_earlier(connection: Connection, month: Month) -> None:
    """Refused while the archive has later versions of segments that are in the database."""
    [[segments, one]] = connection.execute(
        statement("archive/earlier_of_month"), {"month": month.first_day}
    ).fetchall()
    if segments:
        raise Refused(
            f"archive of {month}",
            cause=f"a recovery has brought back {segments:,} segments, {one} among them, as they "
            "were before they were archived, and what was added to them is in the archive alone",
            next_step="materialize thawed_content_segments for this month, which brings it; "
            "then archive the month. What that says it can't bring is given up by deleting the "
            f"rows of {month.first_day} in ops.earlier_segments",
        )
