"""What is known of the months of content_segments and audit_log."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from functools import partial

from ft_ops.partitions.create import PARENTS
from ft_ops.partitions.month_coverage import coverage, wanted_months
from ft_ops.pg.connect import Connection
from ft_ops.settings import Settings
from ft_ops.standing import Standing, Status, asked


def standings(connection: Connection, settings: Settings, now: datetime) -> list[Standing]:
    """Whether each parent has its months, from the first wanted to the last one ahead."""
    return [
        standing
        for parent in PARENTS
        for standing in asked(
            "partitions",
            f"months of {parent}",
            partial(_coverage, connection, parent, settings, now),
            section=f"{parent}_coverage",
        )
    ]


def _coverage(
    connection: Connection, parent: str, settings: Settings, now: datetime
) -> Iterator[Standing]:
    wanted = wanted_months(
        connection, parent, first=settings.first_month, last=settings.last_month_ahead(now)
    )
    found = coverage(connection, parent, wanted)
    problems = [f"{len(found.missing)} months missing"] if found.missing else []
    problems += [str(finding) for finding in found.findings]
    older = f"{len(found.older)} months before FT_FIRST_MONTH" if found.older else ""
    yield Standing(
        "partitions",
        f"months of {parent}",
        Status.BAD if problems else Status.WARNING if older else Status.GOOD,
        f"{found.first} to {found.last}" if found.first else "none",
        ", ".join(filter(None, [*problems, older])),
        section=f"{parent}_coverage",
    )
