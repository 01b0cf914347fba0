"""`ft-ops migrate`: the schema's migrations."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from ft_ops.commands.session import database
from ft_ops.errors import explained


@click.group()
def migrate() -> None:
    """Apply, revert or list the schema's migrations (sqlx's ledger)."""


@migrate.command("status")
def migrate_status() -> None:
    """List every migration and whether it is applied."""
    from ft_ops.schema import load_migrations, migration_states

    with database("migrate") as connection:
        for state in migration_states(connection, load_migrations()):
            when = f"{state.installed_on:%Y-%m-%d %H:%M:%SZ}" if state.installed_on else ""
            click.echo(f"{state.version:>6}  {state.state:<9} {when:<21} {state.description}")


@migrate.command("run")
def migrate_run() -> None:
    """Apply what is pending."""
    from ft_ops.schema import load_migrations, run_migrations

    with database("migrate") as connection:
        applied = run_migrations(connection, load_migrations(), log=click.echo)
    if not applied:
        click.echo("nothing to apply")


@migrate.command("revert")
@click.option("--dry-run", is_flag=True, help="Show the statements, and change nothing.")
def migrate_revert(dry_run: bool) -> None:
    """Undo the newest migration that has a down file."""
    from ft_ops.schema import load_migrations, migration_to_revert, revert_migration

    with database("migrate") as connection:
        if dry_run:
            found = migration_to_revert(connection, load_migrations())
            click.echo(
                f"would revert {found.version}/{found.description}:\n\n{found.down}"
                if found
                else "nothing to revert"
            )
            return
        reverted = revert_migration(connection, load_migrations())
    if reverted is None:
        click.echo("nothing to revert")
    else:
        click.echo(f"reverted {reverted.version}/{reverted.description}")


@migrate.command("drift")
def migrate_drift() -> None:
    """Name what differs from the migrations; exit status 1 if anything does."""
    from ft_ops.schema import differences, expected_fingerprint, read_fingerprint

    with database("migrate") as connection:
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

    with database("migrate") as connection:
        text = fingerprint_json(read_whole_fingerprint(connection))
    with explained(f"file {file}"):
        file.write_text(text, encoding="utf-8")
    click.echo(f"wrote {file}")
