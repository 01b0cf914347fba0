"""The clock of the operations: aware, in UTC; and how far it may be from a server's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

from ft_ops.errors import Refused

MOST_CLOCK_SKEW: Final = timedelta(hours=1)
"""By how much two machines' clocks may differ. What is dated later than that was dated wrongly."""


def utc_now() -> datetime:
    """Now, aware."""
    return datetime.now(UTC)


def other_clock(
    now: datetime, server: datetime, *, of: str = "the database server's"
) -> str | None:
    """In which way this machine's clock, which says ``now``, and a server's tell different times.

    None where they agree. Nobody knows then which is right: nothing may go by its age.
    """
    if abs(server - now) <= MOST_CLOCK_SKEW:
        return None
    return f"this machine's clock says {now:%F %T}Z, and {of} {server.astimezone(UTC):%F %T}Z"


def refuse_other_clock(
    what: str, now: datetime, server: datetime, *, of: str = "the database server's"
) -> None:
    """Refused while this machine's clock and a server's tell different times.

    This one tells what is due, and whether a grace or a thaw is over; the other has dated the rows
    and the proofs. With one that is years ahead, months that are written to would leave.
    """
    words = other_clock(now, server, of=of)
    if words is not None:
        raise Refused(
            what, cause=words, next_step="set the clock that is wrong; nothing was changed"
        )
