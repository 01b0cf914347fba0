"""What was brought back of a family, a book, a thread or a user."""

from collections.abc import Iterator
from dataclasses import asdict
from uuid import UUID

import dagster as dg
from pydantic import Field

from ft_ops.archive import ThawEstimate, archive_run, load_prices
from ft_ops.backups import open_workplace
from ft_ops.errors import Refused
from ft_ops.orchestration.dry_run import show_dry_run
from ft_ops.orchestration.jobs import HEAVY_POOL, OWNERS
from ft_ops.orchestration.launch import uuid_of
from ft_ops.orchestration.metadata import table
from ft_ops.orchestration.resources import DatabaseResource, as_failure
from ft_ops.pg.connect import Connection
from ft_ops.restore.lines import (
    COUNTS,
    asked_lines,
    count_rows,
    deletion_rows,
    reason_rows,
    sample_rows,
)
from ft_ops.restore.plan import RestorePlan
from ft_ops.restore.source import Chosen, choose, restore_from_archive, restore_from_backup
from ft_ops.restore.subject import Decisions, Subject, one_subject
from ft_ops.settings import Settings

_MEDIA_SHOWN = 200


class RestoreConfig(dg.Config):
    """Launch config of a restore: by hand it is a dry run unless you say otherwise."""

    family_id: str = Field(default="", description="Bring back a family: its id.")
    book_id: str = Field(default="", description="Or one memory book.")
    thread_id: str = Field(default="", description="Or one thread.")
    user_id: str = Field(default="", description="Or a user, with what he wrote.")
    at: str = Field(
        default="",
        description="A backup's name in backup_inventory, or a moment such as 2026-11-24T18:00Z: "
        "the newest point before it. Empty: the newest.",
    )
    from_archive: str = Field(
        default="",
        description="Not a backup but an archived month, such as 2017-03: what of it is still or "
        "again in the database is compared with its archive.",
    )
    ask_glacier: str = Field(
        default="",
        description="Ask for what of that month is in Glacier: Bulk, Standard or Expedited. Launch "
        "it again, without this, once Glacier has answered.",
    )
    overwrite_changed: bool = Field(
        default=False, description="Also undo what was changed since, but for what a hold holds."
    )
    deleted_by_mistake: list[str] = Field(
        default=[],
        description="Ids of what was deleted by mistake, as the dry run lists them. Whatever else "
        "was deleted stays erased.",
    )
    reason: str = Field(
        default="", description="Who decided that it was a mistake, and why; it stays on record."
    )
    with_removed_members: bool = Field(
        default=False,
        description="Also bring back memberships and invitations that were taken away since; with "
        "overwrite_changed, also undo what was changed of them.",
    )
    plan: str = Field(
        default="",
        description="The digest of the plan that was agreed to, as the dry run shows it: nothing "
        "is done if today's plan is another one. Required with overwrite_changed and with "
        "deleted_by_mistake.",
    )
    dry_run: bool = Field(default=True, description="Only compare, and show what would come back.")

    def subject(self) -> Subject:
        """The one subject, validated."""
        return one_subject(
            family=uuid_of("family_id", self.family_id),
            book=uuid_of("book_id", self.book_id),
            thread=uuid_of("thread_id", self.thread_id),
            user=uuid_of("user_id", self.user_id),
        )

    def decisions(self) -> Decisions:
        """What was decided, validated."""
        return Decisions(
            self.overwrite_changed,
            frozenset(map(_mistake, self.deleted_by_mistake)),
            self.reason,
            self.with_removed_members,
            self.plan.strip(),
        )


@dg.asset(
    group_name="restore",
    kinds={"postgres", "s3"},
    owners=OWNERS,
    pool=HEAVY_POOL,
    output_required=False,
    description=(
        "One family, book, thread or user, back from a backup that is restored in isolation, or "
        "from what is archived of a month: what is missing is inserted in one transaction, what "
        "was changed stays, what was erased stays erased unless its deletion is named as a "
        "mistake, and no other row is touched."
    ),
)
def restored_family(
    context: dg.AssetExecutionContext,
    config: RestoreConfig,
    database: DatabaseResource,
    settings: dg.ResourceParam[Settings],
) -> Iterator[dg.MaterializeResult[None]]:
    with as_failure():
        subject, decisions = config.subject(), config.decisions()
        if not config.dry_run:
            decisions.require_agreement()
        chosen = choose(config.at, config.from_archive, config.ask_glacier)
        with database.connect("restore") as connection:
            found: RestorePlan | ThawEstimate
            if chosen.month is None:
                found = restore_from_backup(
                    open_workplace(settings, connection),
                    subject,
                    chosen.at,
                    decisions=decisions,
                    apply=not config.dry_run,
                    run_id=context.run.run_id,
                    log=context.log.info,
                )
            else:
                found = _from_archive(context, config, chosen, database, connection, settings)
    if isinstance(found, ThawEstimate):
        for line in asked_lines(found):
            context.log.info(line)
        show_dry_run(context, {"asked of Glacier": dg.MetadataValue.json(asdict(found))})
        return
    metadata = plan_metadata(found)
    if config.dry_run:
        show_dry_run(context, metadata)
        return
    yield dg.MaterializeResult(metadata=metadata)


def _from_archive(
    context: dg.AssetExecutionContext,
    config: RestoreConfig,
    chosen: Chosen,
    database: DatabaseResource,
    live: Connection,
    settings: Settings,
) -> RestorePlan | ThawEstimate:
    assert chosen.month is not None
    with database.connect("archive") as beside:
        return restore_from_archive(
            archive_run(beside, settings, context.run.run_id, context.log.info),
            live,
            config.subject(),
            chosen.month,
            tier=chosen.tier,
            prices=load_prices(settings.archive_prices_file),
            decisions=config.decisions(),
            apply=not config.dry_run,
        )


def plan_metadata(
    plan: RestorePlan,
) -> dict[str, dg.MetadataValue | str | int | list[str]]:
    """A plan as it is looked at in the UI."""
    return {
        "subject": str(plan.subject),
        "restored from": plan.source,
        "plan, to be named when it is applied": plan.digest,
        "inserted" if plan.applied else "to insert": plan.inserts,
        "overwritten" if plan.applied else "to overwrite": plan.overwrites,
        "plan": table(COUNTS, count_rows(plan)),
        "kept out": table(["table", "state", "reason", "rows"], reason_rows(plan)),
        "sample": table(["table", "state", "key", "reason"], sample_rows(plan)),
        "deletions": table(["kind", "id", "deleted at", "verdict"], deletion_rows(plan)),
        "not compared": list(plan.not_compared),
        "media": len(plan.media),
        "media, which are not restored here": list(plan.media[:_MEDIA_SHOWN]),
    }


def _mistake(text: str) -> UUID:
    found = uuid_of("deleted_by_mistake", text)
    if found is None:
        raise Refused(
            "deleted_by_mistake of the launch",
            cause="an id is empty",
            next_step="write the ids that the dry run lists among the deletions",
        )
    return found
