"""`ft-ops archive`: what a person does to the archive."""

from __future__ import annotations

from typing import Literal

import click

from ft_ops.commands.session import database
from ft_ops.months import Month
from ft_ops.settings import load_settings


@click.group()
def archive() -> None:
    """Ways out of what the archive's jobs have begun, and its ledger from the bucket."""


@archive.command("cancel")
@click.option("--month", required=True, help="The month that was asked back, such as 2017-03.")
def archive_cancel(month: str) -> None:
    """End the thaw or erasure of a month before its time, from whatever state it is in."""
    from ft_ops.archive import archive_run, cancel
    from ft_ops.pg.locks import only_one

    parsed = Month.parse(month)
    with database("archive") as connection, only_one(connection, f"archive {parsed}"):
        click.echo(cancel(archive_run(connection, load_settings(), "ft-ops", click.echo), parsed))


@archive.command("tables")
@click.option("--engine", type=click.Choice(["athena", "duckdb"]), required=True)
@click.option(
    "--location", help="Where the archive lies: a folder, or s3://… Default: this deployment's."
)
def archive_tables(engine: Literal["athena", "duckdb"], location: str | None) -> None:
    """Print the statements by which another engine reads the archive."""
    from ft_ops.archive import archive_statements

    settings = load_settings()
    where = location or f"s3://{settings.require_archive_bucket()}/{settings.archive_prefix}"
    with database("archive") as connection:
        for statement in archive_statements(connection, engine, where):
            click.echo(statement)


@archive.command("iceberg")
@click.option(
    "--location", help="A folder, or s3://… Default: the folder iceberg beside the archive."
)
def archive_iceberg(location: str | None) -> None:
    """Write metadata of Apache Iceberg over the archive's objects; these stay as they are."""
    from ft_ops.archive import archive_run, write_iceberg
    from ft_ops.items import Worked

    with database("archive") as connection:
        done = write_iceberg(archive_run(connection, load_settings(), "ft-ops"), location)
    for table in done.tables:
        click.echo(f"{table.name}: {table.rows:,} rows, {table.objects} objects, {table.metadata}")
    for month in done.months:
        state = "readable" if month.readable else "in Glacier: reading it fails until it is thawed"
        click.echo(f"{month.generation}: {month.storage_class}, {state}")
    if not (done.tables or done.failed):
        click.echo("nothing is archived yet: there is nothing to describe")
    written = tuple((table.name, table) for table in done.tables)
    Worked(written, done.failed).refuse_failures("Iceberg's metadata")


@archive.command("mend")
@click.option("--month", multiple=True, help="Such as 2017-03; may be given again. Default: all.")
@click.option("--apply", is_flag=True, help="Do it; without this only what would be done is shown.")
def archive_mend(month: tuple[str, ...], apply: bool) -> None:
    """Put back into the archive's bucket what it has lost, from the second copy."""
    from ft_ops.archive import archive_run, mend

    months = [Month.parse(text) for text in month] or None
    with database("archive") as connection:
        done = mend(archive_run(connection, load_settings(), "ft-ops"), months, apply=apply)
    lines = [line for result in done.results for line in result]
    for line in lines:
        click.echo(line)
    done.refuse_failures("mending of the archive")
    if not lines:
        click.echo("nothing is missing that can be put back")
    if lines and not apply:
        click.echo("nothing was changed: --apply does it")


@archive.command("adopt")
@click.option("--apply", is_flag=True, help="Do it; without this only what would be done is shown.")
@click.option(
    "--from-replica", is_flag=True, help="Read the second bucket: the archive's own is lost."
)
@click.option(
    "--disown",
    type=int,
    multiple=True,
    help="A claim that a copy of this database has made: what it recorded counts for nothing.",
)
@click.option(
    "--take-over",
    is_flag=True,
    help="Adopt what another database has recorded, though this one was not set back as it seems.",
)
def archive_adopt(
    apply: bool, from_replica: bool, disown: tuple[int, ...], take_over: bool
) -> None:
    """Rebuild ledger, holds and tombstones from the bucket; delete again what was erased."""
    from ft_ops.archive import adopt_both, archive_run

    settings = load_settings()
    with database("archive") as connection:
        run = archive_run(connection, settings, "ft-ops", from_replica=from_replica)
        done = adopt_both(
            run,
            settings.audit_retention_years,
            apply=apply,
            disown=disown,
            take_over=take_over,
        )
    for line in done.changes:
        click.echo(line)
    done.refuse_problems()
    if done.empty:
        click.echo(
            f"nothing is recorded in {done.empty}: if there was an archive, FT_ARCHIVE_BUCKET or "
            "FT_ARCHIVE_PREFIX names another place, and what was erased is not known"
        )
    elif not done.changes:
        click.echo("database and bucket say the same")
    if done.changes and not apply:
        click.echo("nothing was changed: --apply does it")
