"""What the catalog says of partitions. It, and no ledger, is the truth about them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from psycopg.rows import class_row

from ft_ops.months import Month
from ft_ops.pg.connect import Connection
from ft_ops.pg.sqlfiles import statement


@dataclass(frozen=True, slots=True)
class Partition:
    """One attached partition. ``estimated_rows`` is the planner's figure, 0 if never analysed."""

    name: str
    lower: datetime | None
    upper: datetime | None
    is_default: bool
    is_detaching: bool
    estimated_rows: int

    @property
    def month(self) -> Month | None:
        """The UTC month that its bounds are, None when they are anything else."""
        if self.lower is None or self.upper is None:
            return None
        month = Month.of(self.lower)
        return month if (month.start, month.end) == (self.lower, self.upper) else None


def partitions_of(connection: Connection, parent: str) -> list[Partition]:
    """The partitions of ``parent``, ordered by lower bound."""
    with connection.cursor(row_factory=class_row(Partition)) as cursor:
        return cursor.execute(statement("pg/partitions_of"), {"parent": parent}).fetchall()


def partition_sizes(connection: Connection, parent: str) -> dict[str, int]:
    """The bytes of each partition of ``parent`` with its indexes and TOAST, by name."""
    return dict(connection.execute(statement("pg/partition_sizes"), {"parent": parent}).fetchall())


def table_exists(connection: Connection, name: str, schema: str = "public") -> bool:
    """Whether a table of that name exists, attached or not."""
    row = connection.execute(
        "SELECT to_regclass(format('%%I.%%I', %s::text, %s::text)) IS NOT NULL", (schema, name)
    ).fetchone()
    return row is not None and bool(row[0])
