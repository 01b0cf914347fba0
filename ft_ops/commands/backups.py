"""`ft-ops backup`: what a person does to backups."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from ft_ops.commands.session import person, workplace


@click.group()
def backup() -> None:
    """List backups; hold and release them; give up what is refuted, lost or left over."""


@backup.command("list")
def backup_list() -> None:
    """List every backup that exists or should, and what is known of it."""
    from ft_ops.backups import list_backups, needs_a_look

    with workplace() as work:
        inventory = list_backups(work, datetime.now(UTC))
        for item in inventory.items:
            taken = f"{item.taken_at:%Y-%m-%d %H:%M}Z" if item.taken_at else "(unknown)"
            said = [item.problem or "", "look at it" if needs_a_look(item) else ""]
            said += ["held"] if item.is_held else []
            more = "; ".join(filter(None, said))
            click.echo(f"{item.name:<32} {taken:<17} {item.trust:<9} {more}".rstrip())
    if not inventory.items:
        click.echo("there are no backups")
    inventory.refuse_lost_refutations()


@backup.command("hold")
@click.argument("name")
@click.option("--reason", required=True)
def backup_hold(name: str, reason: str) -> None:
    """Keep the backup NAME, and what it needs, from every deletion."""
    from ft_ops.backups import hold_backup

    with workplace() as work:
        now = datetime.now(UTC)
        for held in hold_backup(work, name, by=person(), reason=reason, now=now):
            click.echo(f"held {held}")


@backup.command("release")
@click.argument("name")
@click.option("--reason", required=True)
def backup_release(name: str, reason: str) -> None:
    """Release the backup NAME; what was held with it stays held."""
    from ft_ops.backups import release_backup

    with workplace() as work:
        release_backup(work, name, by=person(), reason=reason, now=datetime.now(UTC))
    click.echo(f"released {name}")


@backup.command("acknowledge")
@click.argument("name")
@click.option("--reason", required=True)
def backup_acknowledge(name: str, reason: str) -> None:
    """Say that you have looked at what refuted or broke NAME: retention may delete it."""
    from ft_ops.backups import acknowledge_backup

    with workplace() as work:
        now = datetime.now(UTC)
        problem = acknowledge_backup(work, name, by=person(), reason=reason, now=now)
    click.echo(f"given up: {name}: {problem}")


@backup.command("discard")
@click.argument("provider_id")
@click.option("--reason", required=True)
def backup_discard(provider_id: str, reason: str) -> None:
    """Give up pieces in the store that no ledger knows: retention may delete them."""
    from ft_ops.backups import discard_pieces

    with workplace() as work:
        now = datetime.now(UTC)
        name = discard_pieces(work, provider_id, by=person(), reason=reason, now=now)
    click.echo(f"given up as {name}")


@backup.command("accept-hole")
@click.argument("first")
@click.argument("last")
@click.option("--reason", required=True)
def backup_accept_hole(first: str, last: str, reason: str) -> None:
    """Say that the log lacks the segments FIRST to LAST for good: retention waits no longer."""
    from ft_ops.backups import accept_hole

    with workplace() as work:
        now = datetime.now(UTC)
        accept_hole(work, first, last, by=person(), reason=reason, now=now)
    click.echo(f"accepted: {first} to {last} are lost")


@backup.command("take-over")
@click.option("--reason", required=True)
def backup_take_over(reason: str) -> None:
    """Let this database alone write beside the backups: the other one has been stopped for good."""
    from ft_ops.backups import take_backups_over

    with workplace() as work:
        number = take_backups_over(work, by=person(), reason=reason, now=datetime.now(UTC))
    click.echo(f"taken over by claim {number}")


@backup.command("rehearse")
@click.option("--at", default="", help="A backup's name, or a moment; by default the newest point.")
def backup_rehearse(at: str) -> None:
    """Upgrade a copy to the next major version, and say what the real upgrade would do."""
    from ft_ops.rehearsal import RehearsalRules, rehearsal_lines, rehearse_upgrade

    with workplace() as work:
        settings = work.settings
        rules = RehearsalRules(
            settings.upgrade_bin_dir, settings.app_role, settings.backup_timeout_minutes * 60
        )
        found, address = rehearse_upgrade(work, at, rules, lambda line: click.echo(line, err=True))
    for line in rehearsal_lines(found):
        click.echo(line)
    click.echo(f"certificate: {address}")
    if found.verdict != "works":
        raise SystemExit(1)


@backup.command("mask")
@click.option("--at", default="", help="A backup's name, or a moment; by default the newest point.")
@click.option("--to", required=True, type=click.Path(path_type=Path), help="The dump's file.")
def backup_mask(at: str, to: Path) -> None:
    """Write a masked dump of a copy for developers: pg_restore reads it."""
    from ft_ops.staging import dump_lines, into_file, mask_copy

    with workplace() as work:
        found = mask_copy(work, at, into_file(to), lambda line: click.echo(line, err=True))
    for line in dump_lines(found):
        click.echo(line)
