"""One page for an auditor: what was done in a time, from a verified chain, as HTML and as JSON."""

from __future__ import annotations

import html
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from ft_ops.errors import OpsError, explained
from ft_ops.evidence.acts import Act, from_entries, to_entry
from ft_ops.evidence.measured import Recovery, exceeds, recoveries
from ft_ops.evidence.verify import CheckedChain, Head
from ft_ops.format import human_duration
from ft_ops.settings import Settings

SECTIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "Drills: backups that were restored and compared": (
        "backup_verified",
        "backup_refuted",
        "archive.drill",
    ),
    "Months removed from the database, by their proofs": ("archive.purge", "archive.refreeze"),
    "Erasures: what was erased, and from where": ("archive.erase", "archive.remove_superseded"),
    "Legal holds, placed and released": ("hold.",),
    "Backups deleted, lost, given up and held": (
        "backup_deleting",
        "backup_deleted",
        "backup_missing",
        "backup_discarded",
        "backup_acknowledged",
        "backup_held",
        "backup_released",
        "log_hole_accepted",
    ),
    "Access to archives": ("archive.thaw", "archive.cancel"),
    "Restores": ("restore_family", "restore."),
    "Everything else": ("",),
}
"""The sections of the page, each with the actions, or what they begin with, that belong there. An
act stands in the first section that fits."""


@dataclass(frozen=True, slots=True)
class Report:
    """The acts of a time, [since, until), by section, with what the drills measured."""

    since: datetime
    until: datetime
    head: Head | None
    problems: tuple[str, ...]
    sections: Mapping[str, tuple[Act, ...]]
    recoveries: tuple[Recovery, ...]
    rto_minutes: float | None
    rpo_minutes: float | None

    def to_json(self) -> str:
        """All of it, for programs."""
        return json.dumps(
            {
                "since": self.since.isoformat(),
                "until": self.until.isoformat(),
                "head": str(self.head) if self.head else None,
                "problems": list(self.problems),
                "targets": {"rto_minutes": self.rto_minutes, "rpo_minutes": self.rpo_minutes},
                "drills": [
                    {
                        "at": r.at.isoformat(),
                        "drill": r.drill,
                        "recovery_seconds": r.recovery_seconds,
                        "loss_seconds": r.loss_seconds,
                        "within_rto": _within(r.recovery_seconds, self.rto_minutes),
                        "within_rpo": _within(r.loss_seconds, self.rpo_minutes),
                    }
                    for r in self.recoveries
                ],
                "sections": {
                    name: [to_entry(act) for act in acts] for name, acts in self.sections.items()
                },
            },
            indent=1,
        )

    def to_html(self) -> str:
        """One page that needs nothing else."""
        parts = [
            f"<h1>Evidence, {self.since:%Y-%m-%d} to {self.until:%Y-%m-%d}</h1>",
            self._about_chain(),
            "<h2>Recovery, as the drills measured it</h2>",
            self._targets(),
            _table(
                ["proven at", "drill", "recovered in", "would have lost"],
                (
                    (
                        f"{r.at:%Y-%m-%d %H:%M} UTC",
                        r.drill,
                        _judged(r.recovery_seconds, self.rto_minutes),
                        _judged(r.loss_seconds, self.rpo_minutes),
                    )
                    for r in self.recoveries
                ),
            ),
        ]
        for name, acts in self.sections.items():
            parts += [f"<h2>{html.escape(name)}</h2>", _acts_table(acts)]
        return _PAGE.format("\n".join(parts))

    def _about_chain(self) -> str:
        if self.problems:
            listed = "".join(f"<li>{html.escape(p)}</li>" for p in self.problems)
            return f"<p><strong>The chain is not whole:</strong></p><ul>{listed}</ul>"
        if self.head is None:
            return "<p>Nothing has been chained yet.</p>"
        return (
            f"<p>From a chain that was found whole. Its head is <code>{self.head}</code>: keep it, "
            "and compare a later chain with it by <code>verify.py --head</code>.</p>"
        )

    def _targets(self) -> str:
        return (
            f"<p>Targets: recovered within {_target(self.rto_minutes)}, "
            f"at most {_target(self.rpo_minutes)} lost.</p>"
        )


def report(
    checked: CheckedChain,
    since: datetime,
    until: datetime,
    *,
    rto_minutes: float | None,
    rpo_minutes: float | None,
) -> Report:
    """What a chain tells of [since, until). Its problems are told with it: then believe nothing."""
    acts = [act for act in from_entries(checked.entries) if since <= act.created_at < until]
    acts.sort(key=lambda act: act.created_at)
    sections: dict[str, list[Act]] = {name: [] for name in SECTIONS}
    for act in acts:
        sections[_section_of(act)].append(act)
    return Report(
        since,
        until,
        checked.head,
        checked.problems,
        {name: tuple(found) for name, found in sections.items()},
        tuple(recoveries(acts)),
        rto_minutes,
        rpo_minutes,
    )


@dataclass(frozen=True, slots=True)
class WrittenReport:
    """The files of a report, and what is wrong with the chain that it was made from."""

    paths: tuple[Path, ...]
    problems: tuple[str, ...]


def write_report(
    checked: CheckedChain, since: datetime, until: datetime, settings: Settings, folder: Path
) -> WrittenReport:
    """Write a report as HTML and as JSON into ``folder``, which is made where it is missing."""
    if since >= until:
        raise OpsError(
            "evidence",
            cause=f"the time from {since:%Y-%m-%d} to {until:%Y-%m-%d} is empty",
            next_step="name a later day as its end",
        )
    told = report(
        checked, since, until, rto_minutes=settings.rto_minutes, rpo_minutes=settings.rpo_minutes
    )
    # As strftime writes it, the first centuries lack their zeros.
    name = f"evidence-{since.date().isoformat()}-{until.date().isoformat()}"
    pages = {folder / f"{name}.html": told.to_html(), folder / f"{name}.json": told.to_json()}
    with explained(f"folder {folder}"):
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in pages.items():
            path.write_text(text, encoding="utf-8")
    return WrittenReport(tuple(pages), told.problems)


def _section_of(act: Act) -> str:
    return next(
        name
        for name, actions in SECTIONS.items()
        if any(act.action.startswith(action) for action in actions)
    )


def _acts_table(acts: Sequence[Act]) -> str:
    if not acts:
        return "<p>None.</p>"
    return _table(
        ["at", "what", "details"],
        (
            (
                f"{act.created_at:%Y-%m-%d %H:%M:%S} UTC",
                act.action,
                ", ".join(f"{name}: {_plain(value)}" for name, value in act.details.items()),
            )
            for act in acts
        ),
    )


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>"
        for row in rows
    )
    if not body:
        return "<p>None.</p>"
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _within(seconds: float | None, target_minutes: float | None) -> bool | None:
    above = exceeds(seconds, target_minutes)
    return None if above is None else not above


def _judged(seconds: float | None, target_minutes: float | None) -> str:
    if seconds is None:
        return "not recorded"
    above = exceeds(seconds, target_minutes)
    words = {None: "", True: ", above the target", False: ", within the target"}
    return human_duration(seconds) + words[above]


def _target(minutes: float | None) -> str:
    return "any time (no target is set)" if minutes is None else human_duration(minutes * 60)


_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Evidence</title><style>
body {{ font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; }}
table {{ border-collapse: collapse; width: 100%; }}
th, td {{ border: 1px solid #bbb; padding: .3rem .6rem; text-align: left; vertical-align: top; }}
td {{ overflow-wrap: anywhere; }}
</style></head><body>
{}
</body></html>
"""
