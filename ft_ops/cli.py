"""The command `ft-ops`."""

from __future__ import annotations

import signal
import sys
import warnings
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from ft_ops.commands.archive import archive
from ft_ops.commands.backups import backup
from ft_ops.commands.holds import hold
from ft_ops.commands.migrations import migrate
from ft_ops.commands.restore import restore
from ft_ops.commands.sandbox import demo, sample, sandbox
from ft_ops.commands.terminal import require_text, shortened, take_output
from ft_ops.errors import OpsError, explained, mask_secrets
from ft_ops.settings import load_settings

_INTERRUPTED: Final = 130
_TERMINATED: Final = 143
"""As a shell says of a program that Ctrl-C, or SIGTERM, has ended."""


class Terminated(KeyboardInterrupt):
    """SIGTERM has arrived: what was begun is taken back as after Ctrl-C, copies on disk too."""


def main() -> None:
    """Run the command; whatever a person can cause is one line on standard error, and status 1."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, _terminate)
    if not sys.warnoptions:
        # Dagster tells its authors' plans by warnings: they are no news to who runs a command.
        warnings.simplefilter("ignore")
    take_output()
    try:
        with explained("ft-ops"):
            require_text(sys.argv[1:])
            status = commands.main(prog_name="ft-ops", standalone_mode=False)
            if sys.stdout is not None:
                sys.stdout.flush()
    except OpsError as error:
        _say(" ".join(str(error).split()))
        status = 1
    except click.ClickException as error:
        _show(error)
        status = error.exit_code
    except (click.Abort, KeyboardInterrupt) as error:
        was_told = isinstance(error, Terminated) or isinstance(error.__cause__, Terminated)
        how, status = ("ended", _TERMINATED) if was_told else ("interrupted", _INTERRUPTED)
        _say(f"{how}: what it had not finished is not done. Next: run it again")
    if signal.getsignal(signal.SIGTERM) is _terminate:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(status if isinstance(status, int) else 0)


def _terminate(*_: object) -> None:
    # Once is enough: what cleans up goes on.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _show(error: click.ClickException) -> None:
    """Say in one line how a command was not understood; one that lacks its verb is explained."""
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return
    context = error.ctx if isinstance(error, click.UsageError) else None
    where = context.command_path if context else "ft-ops"
    told = " ".join(error.format_message().split()).rstrip(".")
    _say(f"{where.removeprefix('ft-ops ')}: {told}. Next: see {where} --help")


def _say(words: str) -> None:
    with suppress(OSError):
        # An error that names nothing else is about the command as a whole.
        told = shortened(words.removeprefix("ft-ops: "), sys.argv[1:])
        click.echo(f"ft-ops: {mask_secrets(told)}", err=True)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="ft-ops")
def commands() -> None:
    """Operations of FamilyTales' PostgreSQL: schema, partitions, archive, storage, backups."""


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
            next_step="don't rely on these pages; look at the versions of the chain's objects",
        )


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


@commands.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def web(arguments: tuple[str, ...]) -> None:
    """Run the Dagster UI, closed to other pages; ARGUMENTS are those of dagster-webserver."""
    from ft_ops.web.serve import serve

    serve(arguments)


@commands.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def daemon(arguments: tuple[str, ...]) -> None:
    """Run Dagster's daemon once no other runs; ARGUMENTS are those of dagster-daemon run."""
    from ft_ops.orchestration.upkeep.only_daemon import run_only_daemon

    run_only_daemon(arguments)


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


for part in (migrate, hold, backup, restore, archive, sandbox, sample, demo):
    commands.add_command(part)


if __name__ == "__main__":
    main()
