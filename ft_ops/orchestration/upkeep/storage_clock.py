"""The clock of the server that keeps Dagster's records."""

from __future__ import annotations

from datetime import datetime

import dagster as dg
import sqlalchemy as db

from ft_ops.clock import utc_now
from ft_ops.orchestration.internals import ConsolidatedEventLog


def storage_time(instance: dg.DagsterInstance) -> datetime:
    """What that server's clock says; this machine's, where records are in files of this machine."""
    storage = instance.event_log_storage
    if not isinstance(storage, ConsolidatedEventLog):
        return utc_now()
    with storage.index_connection() as connection:
        moment: datetime = connection.execute(db.text("SELECT clock_timestamp()")).scalar_one()
    return moment
