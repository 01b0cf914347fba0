"""What a demo did, for a person on a terminal and for a program as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from ft_ops.format import human_bytes


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that the demo ran: what came of it in words, and its seconds."""

    name: str
    outcome: str
    seconds: float


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """What an asset check found: ``passed``, ``warn`` or ``error``, and why."""

    name: str
    outcome: str
    description: str


@dataclass(frozen=True, slots=True)
class DemoReport:
    """The demo's figures. Bytes of months' tables include their indexes."""

    steps: Sequence[Step]
    checks: Sequence[CheckOutcome]
    segments: int
    months_created: int
    months_archived: Sequence[str]
    months_proven: Sequence[str]
    months_purged: Sequence[str]
    months_read_back: Sequence[str]
    rows_read_back: Mapping[str, int]
    months_bytes_before: int
    months_bytes_after: int
    bucket_bytes: int
    objects_by_storage_class: Mapping[str, int]
    storage_used_bytes: int
    families: int
    seconds: float


def write_report(report: DemoReport, path: Path) -> None:
    """Write the report as JSON."""
    path.write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")


def show_report(report: DemoReport, path: Path, console: Console) -> None:
    """Print the report."""
    steps = Table(title="What ran", title_justify="left", header_style="bold")
    steps.add_column("step")
    steps.add_column("outcome")
    steps.add_column("seconds", justify="right")
    for step in report.steps:
        steps.add_row(step.name, step.outcome, f"{step.seconds:.1f}")

    figures = Table(title="What came of it", title_justify="left", show_header=False)
    figures.add_column("what")
    figures.add_column("figure", justify="right")
    for name, figure in _figures(report):
        figures.add_row(name, figure)

    console.print()
    console.print(steps)
    console.print(figures)
    for check in report.checks:
        if check.outcome != "passed":
            console.print(f"[bold]{check.name}[/bold] ({check.outcome}): {check.description}")
    console.print(f"Also as JSON in {path}.")


def _figures(report: DemoReport) -> list[tuple[str, str]]:
    read_back = sum(report.rows_read_back.values())
    passed = sum(check.outcome == "passed" for check in report.checks)
    return [
        ("segments written by the sample", f"{report.segments:,}"),
        ("monthly partitions", f"{report.months_created:,}"),
        ("months archived", _span(report.months_archived)),
        ("months proven row by row", _span(report.months_proven)),
        ("months purged from the database", _span(report.months_purged)),
        ("months read back from Glacier, equal", _span(report.months_read_back)),
        ("rows read back (segments, narrations, tags, links)", f"{read_back:,}"),
        ("tables of these months before the archive", human_bytes(report.months_bytes_before)),
        ("tables of these months after the purge", human_bytes(report.months_bytes_after)),
        ("their archive in the bucket", human_bytes(report.bucket_bytes)),
        *(
            (f"objects in {storage_class}", f"{count:,}")
            for storage_class, count in sorted(report.objects_by_storage_class.items())
        ),
        ("storage used by all families", human_bytes(report.storage_used_bytes)),
        ("asset checks that passed", f"{passed} of {len(report.checks)}"),
        ("families", f"{report.families:,}"),
        ("seconds in all", f"{report.seconds:.0f}"),
    ]


def _span(months: Sequence[str]) -> str:
    if not months:
        return "none"
    return f"{len(months)} ({months[0]} to {months[-1]})" if len(months) > 1 else months[0]
