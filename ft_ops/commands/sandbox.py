"""`ft-ops sandbox`, `sample` and `demo`: a disposable deployment."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from ft_ops.commands.session import database
from ft_ops.months import Month


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
