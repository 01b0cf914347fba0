"""`ft-ops archive`: what a person does to the archive."""

from __future__ import annotations

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


@archive.command("adopt")
@click.option("--apply", is_flag=True, help="Do it; without this only what would be done is shown.")
def archive_adopt(apply: bool) -> None:
    """Rebuild ledger, holds and tombstones from the bucket; delete again what was erased."""
    from ft_ops.archive import adopt, archive_run

    with database("archive") as connection:
        done = adopt(archive_run(connection, load_settings(), "ft-ops"), apply=apply)
    for line in done.changes or ("database and bucket say the same",):
        click.echo(line)
    done.refuse_problems()
    if done.changes and not apply:
        click.echo("nothing was changed: --apply does it")
