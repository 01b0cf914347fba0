"""What a recovered database was bringing back when the archive went on without it.

It had asked Glacier for a month. Since then another database has ended that thaw or erasure: the
generations that it reads are gone from the bucket, or are not all of the month any more. It can't
go on, and it would keep every other thaw of the month waiting.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ft_ops.archive.month.states import TO_LOAD, State
from ft_ops.archive.month.thaws import Thaw, open_thaw
from ft_ops.months import Month
from ft_ops.pg.connect import Connection


def overtaken(
    connection: Connection, month: Month, states: Mapping[int, State], adopted: Collection[int]
) -> Thaw | None:
    """The month's thaw or erasure, if it has brought nothing back yet and reads other generations.

    ``states`` are those of the month's generations after the adoption; ``adopted`` those that this
    database did not know in that state.
    """
    thaw = open_thaw(connection, month)
    if thaw is None or thaw.state not in TO_LOAD:
        return None
    is_gone = any(states.get(number) != "purged" for number in thaw.generations)
    is_more = any(states[number] == "purged" for number in adopted)
    return thaw if is_gone or is_more else None
