"""What late rows of a month wait for before they can become its next generation."""

from __future__ import annotations

from ft_ops.archive.month.content import ARCHIVED
from ft_ops.archive.month.ledger import in_database
from ft_ops.archive.month.relation import attached_relation
from ft_ops.archive.month.thaws import open_thaw
from ft_ops.months import Month
from ft_ops.pg.connect import Connection


def late_rows_wait_for(connection: Connection, month: Month) -> str | None:
    """What has to end before the month may move again, in words; None when nothing has to.

    Asked by the schedule, by the preflight and by the move itself. A generation that is being moved
    is no obstacle: the next run goes on with it.
    """
    standing = in_database(connection, month)
    if standing is not None and standing.state == "archiving":
        return None
    thaw = open_thaw(connection, month)
    if thaw is not None:
        return f"{thaw.name} is under way, {thaw.state}"
    if standing is not None:
        return f"{standing.name} is still in the database, {standing.state}"
    if attached_relation(connection, ARCHIVED, month) is not None:
        return f"{ARCHIVED} has a partition of that month, and the ledger does not know it"
    return None
