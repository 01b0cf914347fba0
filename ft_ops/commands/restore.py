"""`ft-ops restore`: what is missing of one family, book, thread or user, back from a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import click

from ft_ops.commands.session import database, person, workplace
from ft_ops.settings import load_settings

if TYPE_CHECKING:
    from ft_ops.archive import ThawEstimate
    from ft_ops.months import Month
    from ft_ops.restore import Decisions, RestorePlan, Subject
    from ft_ops.s3.glacier import Tier


@click.command()
@click.option("--family", type=click.UUID, help="Everything of a family.")
@click.option("--book", type=click.UUID, help="Everything in a memory book.")
@click.option("--thread", type=click.UUID, help="Everything in a thread.")
@click.option("--user", type=click.UUID, help="A user, with what he wrote.")
@click.option("--at", default="", help="A backup's name, or a moment; by default the newest point.")
@click.option("--from-archive", default="", help="An archived month instead, such as 2017-03.")
@click.option(
    "--ask-glacier", default="", help="Ask for what is in Glacier: Bulk, Standard or Expedited."
)
@click.option("--apply", is_flag=True, help="Bring it back; without this, only compare.")
@click.option("--overwrite-changed", is_flag=True, help="Also undo what was changed since.")
@click.option(
    "--deleted-by-mistake",
    type=click.UUID,
    multiple=True,
    help="The id of a deletion that is to be undone; others stay erased.",
)
@click.option("--reason", default="", help="Who decided that it was a mistake, and why.")
@click.option(
    "--with-removed-members",
    is_flag=True,
    help="Also memberships and invitations that were taken away since.",
)
@click.option("--plan", default="", help="The plan that was agreed to: only that is applied.")
def restore(
    at: str,
    from_archive: str,
    ask_glacier: str,
    apply: bool,
    overwrite_changed: bool,
    deleted_by_mistake: tuple[UUID, ...],
    reason: str,
    with_removed_members: bool,
    plan: str,
    **named: UUID | None,
) -> None:
    """Bring what is missing of a family, book, thread or user back from a backup or an archive."""
    from ft_ops.restore import Decisions, choose, one_subject, restore_from_backup, restored_lines

    subject = one_subject(**named)
    chosen = choose(at, from_archive, ask_glacier)
    decisions = Decisions(
        overwrite_changed, frozenset(deleted_by_mistake), reason, with_removed_members, plan.strip()
    )
    if apply:
        decisions.require_agreement()
    if chosen.month is not None:
        found = _from_archive(subject, chosen.month, chosen.tier, decisions, apply=apply)
    else:
        with workplace() as work:
            found = restore_from_backup(
                work,
                subject,
                chosen.at,
                decisions=decisions,
                apply=apply,
                run_id=person(),
                log=_to_stderr,
            )
    for line in restored_lines(found):
        click.echo(line)


def _from_archive(
    subject: Subject, month: Month, tier: Tier | None, decisions: Decisions, *, apply: bool
) -> RestorePlan | ThawEstimate:
    from ft_ops.archive import archive_run, load_prices
    from ft_ops.restore import restore_from_archive

    settings = load_settings()
    with database("archive") as beside, database("restore") as live:
        return restore_from_archive(
            archive_run(beside, settings, person(), _to_stderr),
            live,
            subject,
            month,
            tier=tier,
            prices=load_prices(settings.archive_prices_file),
            decisions=decisions,
            apply=apply,
        )


def _to_stderr(line: str) -> None:
    click.echo(line, err=True)
