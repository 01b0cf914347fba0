"""`ft-ops sandbox`, `sample` and `demo`: a disposable deployment."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from ft_ops.commands.session import database
from ft_ops.errors import OpsError
from ft_ops.months import Month

_MOST: Final = 10_000_000
_MONTHS: Final = 1200
"""A hundred years: FT_FIRST_MONTH may be no earlier than 1900."""


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def sandbox(command: tuple[str, ...]) -> None:
    """Start a disposable PostgreSQL and S3; with COMMAND (after --), run it there and tear down."""
    from ft_ops.sandbox import hold_sandbox, run_in_sandbox

    if not command:
        hold_sandbox()
        return
    sys.exit(run_in_sandbox(command))


@click.command()
@click.option("--families", type=click.IntRange(1, _MOST), default=70, show_default=True)
@click.option(
    "--months",
    type=click.IntRange(1, _MONTHS),
    default=96,
    show_default=True,
    help="Months of content, counted back from the current one.",
)
@click.option(
    "--segments",
    type=click.IntRange(1, _MOST),
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
    with database("sample") as connection:
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


@click.command()
@click.option("--ui", is_flag=True, help="Then keep the Dagster UI on 127.0.0.1:3000.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    default=3000,
    show_default=True,
    help="The port of --ui.",
)
@click.option("--families", type=click.IntRange(1, _MOST), default=70, show_default=True)
@click.option("--months", type=click.IntRange(86, _MONTHS), default=96, show_default=True)
@click.option("--segments", type=click.IntRange(1, _MOST), default=1050, show_default=True)
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
    from ft_ops.sandbox import refuse_a_used_port, use_memory

    _require_writable(Path(report))
    if ui:
        refuse_a_used_port(port)
    use_memory()
    first = Month.of(datetime.now(UTC)).plus(1 - months)
    arguments = [str(families), str(months), str(segments), str(seed), report]
    arguments += [str(port)] if ui else []
    os.environ["FT_FIRST_MONTH"] = str(first)
    # The sample is disposable, so its purge need not wait for a month.
    os.environ |= {"FT_PURGE_ENABLED": "true", "FT_PURGE_GRACE_DAYS": "0"}
    # A process of its own: its libraries are imported while the sandbox starts.
    os.execv(sys.executable, [sys.executable, "-m", "ft_ops.sandbox", *arguments])


def _require_writable(report: Path) -> None:
    """Refuse a report that could not be written, before the minutes that it is about."""
    existed = report.exists()
    try:
        with report.open("a", encoding="utf-8"):
            pass
    except OSError as error:
        raise OpsError(
            f"report {report}",
            cause=error.strerror or str(error),
            next_step="let --report name a file in a folder that exists and takes new files",
        ) from error
    if not existed:
        report.unlink()
