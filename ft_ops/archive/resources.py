"""What the archive's Dagster definitions share: launch configs, the month's lock, the target."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import dagster as dg
from pydantic import Field

from ft_ops.archive.purge.gates import Gate
from ft_ops.archive.run import Run, archive_run
from ft_ops.clock import refuse_other_clock, utc_now
from ft_ops.errors import Refused
from ft_ops.months import Month
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.partitions import monthly
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.connect import server_time
from ft_ops.pg.locks import only_one
from ft_ops.pg.pace import pace_beside_others
from ft_ops.settings import Settings


class DryRunOff(dg.Config):
    """Launch config of what moves or copies a month."""

    dry_run: bool = Field(
        default=False, description="Only look: show what would be done and what is in the way."
    )


class DryRunOn(dg.Config):
    """Launch config of what deletes: by hand it is a dry run unless you say otherwise."""

    dry_run: bool = Field(
        default=True,
        description="Only look: evaluate every gate and delete nothing. The schedule turns this "
        "off; FT_PURGE_ENABLED must be true besides.",
    )


@contextmanager
def month_at_work(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: Settings,
    month: Month,
) -> Iterator[Run]:
    """A run that holds the month's advisory lock: one run a month at any time.

    What goes wrong in the block is a failure of the Dagster run.
    """
    with as_failure(), one_of_several(context, database, settings, month) as run:
        yield run


@contextmanager
def one_of_several(
    context: dg.AssetExecutionContext,
    database: DatabaseResource,
    settings: Settings,
    month: Month,
) -> Iterator[Run]:
    """The same where several months are worked on: its errors are that month's alone."""
    with (
        database.connect("archive") as connection,
        only_one(connection, f"archive {month}"),
    ):
        refuse_other_clock(f"work on {month}", utc_now(), server_time(connection))
        yield archive_run(connection, settings, context.run.run_id, context.log.info)


@contextmanager
def paced(run: Run, database: DatabaseResource) -> Iterator[Run]:
    """The same run, which rests between its steps while others are at work in the database."""
    with database.connect("archive pace") as beside:
        yield replace(run, pace=pace_beside_others(beside, run.rules.share_beside_others))


def gates_table(gates: Iterable[Gate]) -> dg.MetadataValue:
    """Gates as a metadata table, closed ones first."""
    ordered = sorted(gates, key=lambda gate: gate.passed)
    return table(["gate", "open", "detail"], ((g.name, g.passed, g.detail) for g in ordered))


def refuse_unknown_partition(month: Month) -> None:
    """Refused for a month before FT_FIRST_MONTH: Dagster has no partition of it."""
    if not monthly.has_partition_key(month.key):
        raise Refused(
            f"month {month}",
            cause="it is none of Dagster's partitions, which begin with FT_FIRST_MONTH",
            next_step=f"set FT_FIRST_MONTH to {month} or earlier",
        )
