"""The command `ft-ops`."""

from __future__ import annotations

import getpass
import socket
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from ft_ops.errors import OpsError, explained, mask_secrets
from ft_ops.months import Month
from ft_ops.pg.connect import Connection, connected, describe
from ft_ops.settings import load_settings

if TYPE_CHECKING:
    from ft_ops.backups import Workplace


def main() -> None:
    """Run the command; whatever a person can cause is one line on standard error, and status 1."""
    if not sys.warnoptions:
        # Dagster tells its authors' plans by warnings: they are no news to who runs a command.
        warnings.simplefilter("ignore")
    try:
        with explained("ft-ops"):
            commands(prog_name="ft-ops")
    except OpsError as error:
        click.echo(f"ft-ops: {mask_secrets(' '.join(str(error).split()))}", err=True)
        sys.exit(1)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ft-ops")
def commands() -> None:
    """Operations of FamilyTales' PostgreSQL: schema, partitions, archive, storage, backups."""


@commands.group()
def migrate() -> None:
    """Apply, revert or list the schema's migrations (sqlx's ledger)."""


@migrate.command("status")
def migrate_status() -> None:
    """List every migration and whether it is applied."""
    from ft_ops.schema import load_migrations, migration_states

    with _database("migrate") as connection:
        for state in migration_states(connection, load_migrations()):
            when = f"{state.installed_on:%Y-%m-%d %H:%M:%SZ}" if state.installed_on else ""
            click.echo(f"{state.version:>6}  {state.state:<9} {when:<21} {state.description}")


@migrate.command("run")
def migrate_run() -> None:
    """Apply what is pending."""
    from ft_ops.schema import load_migrations, run_migrations

    with _database("migrate") as connection:
        applied = run_migrations(connection, load_migrations(), log=click.echo)
    if not applied:
        click.echo("nothing to apply")


@migrate.command("revert")
def migrate_revert() -> None:
    """Undo the newest migration that has a down file."""
    from ft_ops.schema import load_migrations, revert_migration

    with _database("migrate") as connection:
        reverted = revert_migration(connection, load_migrations())
    if reverted is None:
        click.echo("nothing to revert")
    else:
        click.echo(f"reverted {reverted.version}/{reverted.description}")


@migrate.command("drift")
def migrate_drift() -> None:
    """Name what differs from the migrations; exit status 1 if anything does."""
    from ft_ops.schema import differences, expected_fingerprint, read_fingerprint

    with _database("migrate") as connection:
        found = differences(read_fingerprint(connection), expected_fingerprint())
    for difference in found:
        click.echo(difference.words)
    if found:
        sys.exit(1)
    click.echo("the live schema is the migrations'")


@migrate.command("fingerprint")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def migrate_fingerprint(file: Path) -> None:
    """Write the live schema's fingerprint to FILE; `make fingerprint` does so after migrating."""
    from ft_ops.schema import fingerprint_json, read_whole_fingerprint

    with _database("migrate") as connection:
        file.write_text(fingerprint_json(read_whole_fingerprint(connection)), encoding="utf-8")
    click.echo(f"wrote {file}")


def _person() -> str:
    """Who runs this command, for the record."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


@commands.group()
def hold() -> None:
    """Place, list and release legal holds: what may not be changed, purged or erased."""


@hold.command("add")
@click.option("--month", help="Everything of a month, such as 2017-03.")
@click.option("--family", type=click.UUID, help="Everything in a family.")
@click.option("--book", type=click.UUID, help="Everything in a memory book.")
@click.option("--thread", type=click.UUID, help="Everything in a thread.")
@click.option("--user", type=click.UUID, help="Everything by a user.")
@click.option("--reason", required=True)
@click.option("--by", default=_person, help="Who asked for it; by default, you.")
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
    from ft_ops.archive import add_hold, hold_lines, record_archived
    from ft_ops.s3.bucket import open_bucket

    parsed = Month.parse(month) if month else None
    archives = load_settings().archive_bucket
    with _database("hold") as connection:
        placed = add_hold(
            connection,
            month=parsed,
            family_id=family,
            book_id=book,
            thread_id=thread,
            user_id=user,
            reason=reason,
            person=by,
            force=force,
        )
        click.echo(f"placed {placed}")
        if archives is not None:
            placed = record_archived(connection, open_bucket(archives), placed)
        click.echo("\n".join(hold_lines(connection, placed)[1:]))


@hold.command("list")
def hold_list() -> None:
    """List every hold, released ones too: who, when, why, and what months it holds."""
    from ft_ops.archive import hold_lines, list_holds

    with _database("hold") as connection:
        for held in list_holds(connection):
            click.echo("\n".join(hold_lines(connection, held)))


@hold.command("release")
@click.argument("number", type=int)
@click.option("--reason", required=True)
@click.option("--by", default=_person, help="Who asked for it; by default, you.")
def hold_release(number: int, reason: str, by: str) -> None:
    """Release a hold by its number."""
    from ft_ops.archive import release_hold

    with _database("hold") as connection:
        click.echo(f"released {release_hold(connection, number, reason, person=by)}")


@commands.group()
def backup() -> None:
    """List backups; hold and release them; give up what is refuted, lost or left over."""


@backup.command("list")
def backup_list() -> None:
    """List every backup that exists or should, and what is known of it."""
    from ft_ops.backups import list_backups, needs_a_look

    with _workplace() as work:
        for item in list_backups(work, datetime.now(UTC)).items:
            taken = f"{item.taken_at:%Y-%m-%d %H:%M}Z" if item.taken_at else "(unknown)"
            said = [item.problem or "", "look at it" if needs_a_look(item) else ""]
            said += ["held"] if item.is_held else []
            more = "; ".join(filter(None, said))
            click.echo(f"{item.name:<32} {taken:<17} {item.trust:<9} {more}".rstrip())


@backup.command("hold")
@click.argument("name")
@click.option("--reason", required=True)
def backup_hold(name: str, reason: str) -> None:
    """Keep the backup NAME, and what it needs, from every deletion."""
    from ft_ops.backups import hold_backup

    with _workplace() as work:
        now = datetime.now(UTC)
        for held in hold_backup(work, name, by=_person(), reason=reason, now=now):
            click.echo(f"held {held}")


@backup.command("release")
@click.argument("name")
@click.option("--reason", required=True)
def backup_release(name: str, reason: str) -> None:
    """Release the backup NAME; what was held with it stays held."""
    from ft_ops.backups import release_backup

    with _workplace() as work:
        release_backup(work, name, by=_person(), reason=reason, now=datetime.now(UTC))
    click.echo(f"released {name}")


@backup.command("acknowledge")
@click.argument("name")
@click.option("--reason", required=True)
def backup_acknowledge(name: str, reason: str) -> None:
    """Say that you have looked at what refuted or broke NAME: retention may delete it."""
    from ft_ops.backups import acknowledge_backup

    with _workplace() as work:
        now = datetime.now(UTC)
        problem = acknowledge_backup(work, name, by=_person(), reason=reason, now=now)
    click.echo(f"given up: {name}: {problem}")


@backup.command("discard")
@click.argument("provider_id")
@click.option("--reason", required=True)
def backup_discard(provider_id: str, reason: str) -> None:
    """Give up pieces in the store that no ledger knows: retention may delete them."""
    from ft_ops.backups import discard_pieces

    with _workplace() as work:
        now = datetime.now(UTC)
        name = discard_pieces(work, provider_id, by=_person(), reason=reason, now=now)
    click.echo(f"given up as {name}")


@commands.command()
@click.option("--family", type=click.UUID, help="Everything of a family.")
@click.option("--book", type=click.UUID, help="Everything in a memory book.")
@click.option("--thread", type=click.UUID, help="Everything in a thread.")
@click.option("--user", type=click.UUID, help="A user, with what he wrote.")
@click.option("--at", default="", help="A backup's name, or a moment; by default the newest point.")
@click.option("--apply", is_flag=True, help="Bring it back; without this, only compare.")
@click.option("--overwrite-changed", is_flag=True, help="Also undo what was changed since.")
@click.option(
    "--deleted-by-mistake",
    type=click.UUID,
    multiple=True,
    help="The id of a deletion that is to be undone; others stay erased.",
)
@click.option("--reason", default="", help="Who decided that it was a mistake, and why.")
def restore(
    family: UUID | None,
    book: UUID | None,
    thread: UUID | None,
    user: UUID | None,
    at: str,
    apply: bool,
    overwrite_changed: bool,
    deleted_by_mistake: tuple[UUID, ...],
    reason: str,
) -> None:
    """Bring what is missing of one family, book, thread or user back from a backup."""
    from ft_ops.restore import Decisions, one_subject, plan_lines, restore_from_backup

    subject = one_subject(family=family, book=book, thread=thread, user=user)
    with _workplace() as work:
        plan = restore_from_backup(
            work,
            subject,
            at,
            decisions=Decisions(overwrite_changed, frozenset(deleted_by_mistake), reason),
            apply=apply,
            run_id=_person(),
            log=lambda line: click.echo(line, err=True),
        )
    for line in plan_lines(plan):
        click.echo(line)


@commands.group()
def archive() -> None:
    """Ways out of what the archive's jobs have begun."""


@archive.command("cancel")
@click.option("--month", required=True, help="The month that was asked back, such as 2017-03.")
def archive_cancel(month: str) -> None:
    """End the thaw or erasure of a month before its time, from whatever state it is in."""
    from ft_ops.archive import archive_run, cancel
    from ft_ops.pg.locks import only_one

    parsed = Month.parse(month)
    with _database("archive") as connection, only_one(connection, f"archive {parsed}"):
        click.echo(cancel(archive_run(connection, load_settings(), "ft-ops", click.echo), parsed))


@commands.command()
@click.option("--from", "since", required=True, type=click.DateTime(["%Y-%m-%d"]))
@click.option("--to", "until", required=True, type=click.DateTime(["%Y-%m-%d"]), help="Exclusive.")
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    default=".",
    show_default=True,
    help="Where the page and the JSON go.",
)
def evidence(since: datetime, until: datetime, folder: Path) -> None:
    """Write what was done from one day to another, for an auditor, from the chain in the bucket."""
    from ft_ops.evidence import open_chain, write_report

    settings = load_settings()
    chain = open_chain(settings)
    written = write_report(
        chain.read(), since.replace(tzinfo=UTC), until.replace(tzinfo=UTC), settings, folder
    )
    for path in written.paths:
        click.echo(f"wrote {path}")
    if written.problems:
        raise OpsError(
            f"chain of evidence {chain.bucket.url(chain.prefix)}",
            cause="; ".join(written.problems[:5]),
            next_step="believe nothing of these pages; look at the versions of the chain's objects",
        )


@archive.command("adopt")
@click.option("--apply", is_flag=True, help="Do it; without this only what would be done is shown.")
def archive_adopt(apply: bool) -> None:
    """Rebuild ledger, holds and tombstones from the bucket; delete again what was erased."""
    from ft_ops.archive import adopt, archive_run

    with _database("archive") as connection:
        done = adopt(archive_run(connection, load_settings(), "ft-ops"), apply=apply)
    for line in done.changes or ("database and bucket say the same",):
        click.echo(line)
    done.refuse_problems()
    if done.changes and not apply:
        click.echo("nothing was changed: --apply does it")


@commands.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def sandbox(command: tuple[str, ...]) -> None:
    """Start a disposable PostgreSQL and S3; with COMMAND (after --), run it there and tear down."""
    from ft_ops.sandbox import hold_sandbox, run_in_sandbox

    if not command:
        hold_sandbox()
        return
    sys.exit(run_in_sandbox(command))


@commands.command()
@click.option("--families", type=click.IntRange(1), default=70, show_default=True)
@click.option(
    "--months",
    type=click.IntRange(1),
    default=96,
    show_default=True,
    help="Months of content, counted back from the current one.",
)
@click.option(
    "--segments",
    type=click.IntRange(1),
    default=1100,
    show_default=True,
    help="Segments a month.",
)
@click.option("--seed", type=int, default=7, show_default=True)
def sample(families: int, months: int, segments: int, seed: int) -> None:
    """Fill a database with made-up families; refuses one that has real users."""
    from ft_ops.format import human_bytes
    from ft_ops.sandbox.sample import make_sample

    now = datetime.now(UTC)
    last = Month.of(now)
    with _database("sample") as connection:
        report = make_sample(
            connection,
            families=families,
            first=last.plus(1 - months),
            last=last,
            segments_per_month=segments,
            seed=seed,
            progress=click.echo,
            until=now,
        )
    for table, rows in report.rows.items():
        click.echo(f"{rows:>12,}  {table}")
    click.echo(f"{human_bytes(report.bytes)} in {report.seconds:.1f} s")


@commands.command()
@click.argument("what", type=click.Choice(["rules", "dashboard"]))
def monitoring(what: str) -> None:
    """Print the alerting rules for Prometheus, or the dashboard for Grafana."""
    from ft_ops.definitions import defs
    from ft_ops.overview.jobs import sections_of
    from ft_ops.overview.monitoring import dashboard, rules
    from ft_ops.settings import load_settings, runbook_link

    runbook = runbook_link(load_settings(), "").rstrip("#")
    click.echo(rules(sections_of(defs), runbook) if what == "rules" else dashboard(), nl=False)


@commands.command()
@click.option("--ui", is_flag=True, help="Then keep the Dagster UI on 127.0.0.1:3000.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=3000,
    show_default=True,
    help="The port of --ui.",
)
@click.option("--families", type=click.IntRange(1), default=70, show_default=True)
@click.option("--months", type=click.IntRange(86), default=96, show_default=True)
@click.option("--segments", type=click.IntRange(1), default=1050, show_default=True)
@click.option("--seed", type=int, default=7, show_default=True)
@click.option(
    "--report",
    type=click.Path(dir_okay=False),
    default="demo-report.json",
    show_default=True,
    help="Where the report goes as JSON.",
)
def demo(
    ui: bool, port: int, families: int, months: int, segments: int, seed: int, report: str
) -> None:
    """Run a month's life and the daily and weekly jobs in a disposable sandbox, and report."""
    from ft_ops.sandbox import run_in_sandbox

    first = Month.of(datetime.now(UTC)).plus(1 - months)
    arguments = [str(families), str(months), str(segments), str(seed), report]
    arguments += [str(port)] if ui else []
    sys.exit(
        run_in_sandbox(
            [sys.executable, "-m", "ft_ops.sandbox", *arguments],
            {
                "FT_FIRST_MONTH": str(first),
                # The sample is disposable, so its purge need not wait for a month.
                "FT_PURGE_ENABLED": "true",
                "FT_PURGE_GRACE_DAYS": "0",
            },
        )
    )


@commands.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def web(arguments: tuple[str, ...]) -> None:
    """Run the Dagster UI, closed to other pages; ARGUMENTS are those of dagster-webserver."""
    from ft_ops.web.serve import serve

    serve(arguments)


@commands.command()
@click.option("--environment", is_flag=True, help="As a file of environment variables.")
def settings(environment: bool) -> None:
    """Print every FT_* variable with its default and meaning: the page docs/settings.md."""
    from ft_ops.settings.page import environment_file, settings_page

    click.echo(environment_file() if environment else settings_page(), nl=False)


@commands.command()
def doctor() -> None:
    """Look at everything that the jobs need, and say how to mend it; exit status 1 if one fails."""
    from ft_ops.doctor import examine

    failed = False
    for finding in examine(datetime.now(UTC)):
        failed |= finding.state in {"failed", "unknown"}
        mend = f"; mend: {finding.mend}" if finding.mend else ""
        click.echo(mask_secrets(f"{finding.state:<8} {finding.name}: {finding.detail}{mend}"))
    if failed:
        sys.exit(1)


@contextmanager
def _workplace() -> Iterator[Workplace]:
    from ft_ops.backups import open_workplace

    with _database("backup") as connection:
        yield open_workplace(load_settings(), connection)


@contextmanager
def _database(application: str) -> Iterator[Connection]:
    url = load_settings().require_database_url()
    with (
        explained(f"database {describe(url)}"),
        connected(url, application=application) as connection,
    ):
        yield connection


if __name__ == "__main__":
    main()
