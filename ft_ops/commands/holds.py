"""`ft-ops hold`: legal holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from uuid import UUID

import click

from ft_ops.commands.session import database, person
from ft_ops.deadline import NoEnd, call_within
from ft_ops.errors import OpsError
from ft_ops.months import Month
from ft_ops.settings import load_settings

if TYPE_CHECKING:
    from ft_ops.archive import HeldSubject, Search

SEARCH_SECONDS: Final = 60.0
"""How long a hold waits at most for what archives alone have: some hundred generations."""


@click.group()
def hold() -> None:
    """Place, list and release legal holds: what may not be changed, purged or erased."""


@hold.command("add")
@click.option("--month", help="Everything of a month, such as 2017-03.")
@click.option("--family", type=click.UUID, help="Everything in a family.")
@click.option("--book", type=click.UUID, help="Everything in a memory book.")
@click.option("--thread", type=click.UUID, help="Everything in a thread.")
@click.option("--user", type=click.UUID, help="Everything by a user.")
@click.option("--reason", required=True)
@click.option("--by", default=person, help="Who asked for it; by default, you.")
@click.option("--force", is_flag=True, help="Also if neither database nor archive know it.")
def hold_add(
    month: str | None,
    family: UUID | None,
    book: UUID | None,
    thread: UUID | None,
    user: UUID | None,
    reason: str,
    by: str,
    force: bool,
) -> None:
    """Place a hold on exactly one month, family, book, thread or user."""
    from ft_ops.archive import (
        HeldSubject,
        add_searched_hold,
        hold_lines,
        record_archived,
    )
    from ft_ops.s3.bucket import open_bucket

    archives = load_settings().archive_bucket
    subject = HeldSubject(
        month=Month.parse(month) if month else None,
        family_id=family,
        book_id=book,
        thread_id=thread,
        user_id=user,
    )
    with database("hold") as connection:
        before = _searched(archives, subject)
        placed = add_searched_hold(
            connection,
            subject,
            () if before is None else before.found,
            reason=reason,
            person=by,
            force=force,
        )
        click.echo(f"placed {placed}")
        try:
            if archives is not None:
                placed = record_archived(connection, open_bucket(archives), placed, before)
        except OpsError as error:
            raise OpsError(
                f"{placed}, which stands: the search for what the archive alone has of it",
                cause=f"{error.what}: {error.cause}",
                next_step=f"{error.next_step}; ship_archive_records searches again every "
                "15 minutes, and fails until it can",
            ) from error
        click.echo("\n".join(hold_lines(connection, placed)[1:]))


def _searched(archives: str | None, subject: HeldSubject) -> Search | None:
    """What archives have of a subject; None where they did not say so in time.

    The hold is placed all the same, and the search tried again behind it. In a session of its own:
    one that hangs is left behind.
    """
    from ft_ops.archive import search_before
    from ft_ops.s3.bucket import open_bucket

    if archives is None:
        return None

    def search() -> Search:
        with database("hold search") as connection:
            return search_before(connection, open_bucket(archives), subject)

    click.echo(
        f"searching the archives first, for {SEARCH_SECONDS:g} seconds at most: nothing is held "
        "until it ends",
        err=True,
    )
    try:
        return call_within(SEARCH_SECONDS, search)
    except (OpsError, NoEnd) as error:
        click.echo(f"placed without: {error}", err=True)
        return None


@hold.command("list")
def hold_list() -> None:
    """List every hold, released ones too: who, when, why, and what months it holds."""
    from ft_ops.archive import hold_lines, list_holds

    with database("hold") as connection:
        holds = list_holds(connection)
        for held in holds:
            click.echo("\n".join(hold_lines(connection, held)))
    if not holds:
        click.echo("there are no holds")


@hold.command("release")
@click.argument("number", type=int)
@click.option("--reason", required=True)
@click.option("--by", default=person, help="Who asked for it; by default, you.")
def hold_release(number: int, reason: str, by: str) -> None:
    """Release a hold by its number."""
    from ft_ops.archive import release_hold

    with database("hold") as connection:
        click.echo(f"released {release_hold(connection, number, reason, person=by)}")
