"""Alerting rules for Prometheus and a dashboard for Grafana, from the runbook's sections.

Both read what `exported_metrics` exports; `ft-ops monitoring` prints them.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ft_ops.overview.prometheus import STANDING_METRIC

_STANDING: Final = f"ft_{STANDING_METRIC}"
_TAKEN: Final = f'ft_sampled_timestamp_seconds{{metric="{STANDING_METRIC}"}}'
_PAGE_HOURS: Final = 26
"""The page is written once a day; a run may take its time."""


@dataclass(frozen=True, slots=True)
class Section:
    """A section of the runbook: the name of a check, a job or a sensor, and the lines about it.

    ``lines`` is a regular expression for the subjects of the overview's lines.
    """

    name: str
    lines: str


def check_section(asset: str, check: str) -> Section:
    """The section of a check; ``asset`` is what it is on."""
    return Section(check, f"checks: {asset}: {check}")


def job_section(job: str) -> Section:
    """The section of a job, whose failed runs name a partition or none."""
    return Section(job, f"runs: {job}( for .*)?")


def sensor_section(sensor: str) -> Section:
    """The section of a sensor."""
    return Section(sensor, f"sensors: {sensor}")


def rules(sections: Iterable[Section], runbook: str) -> str:
    """A file of rules: what is broken or not known, by section, and that nothing comes any more.

    ``runbook`` is the address of the runbook's page.
    """
    known = sorted(sections, key=lambda section: section.lines)
    groups = [
        (
            "ft-ops",
            [
                _rule(
                    "FtOpsFiguresMissing",
                    f"absent({_TAKEN})",
                    "critical",
                    "No figures of the operations reach Prometheus.",
                    f"{runbook}#make_overview",
                    held="1h",
                ),
                _rule(
                    "FtOpsPageOld",
                    f"time() - max({_TAKEN}) > {_PAGE_HOURS} * 3600",
                    "critical",
                    f"The overview is more than {_PAGE_HOURS} hours old.",
                    f"{runbook}#make_overview",
                ),
                *_by_severity(
                    "FtOpsLine",
                    _without(known),
                    "{{ $labels.subject }}",
                    f"{runbook}#make_overview",
                ),
            ],
        ),
        (
            "ft-ops-runbook",
            [
                rule
                for section in known
                for rule in _by_severity(
                    f"FtOps_{section.name}",
                    f"{_STANDING}{{subject=~{json.dumps(section.lines)}}}",
                    "{{ $labels.subject }}",
                    f"{runbook}#{section.name}",
                )
            ],
        ),
    ]
    return _HEAD + "".join(f"  - name: {name}\n    rules:\n{''.join(of)}" for name, of in groups)


_HEAD: Final = """\
# Alerting rules for Prometheus. `ft-ops monitoring rules` prints this file; FT_RUNBOOK_URL is where
# the runbook is published. A line of the overview is 0 good, 1 to be looked at, 2 not known, 3
# broken.
groups:
"""


def _by_severity(alert: str, lines: str, summary: str, link: str) -> list[str]:
    """What is broken calls somebody; what is to be looked at, or not known, waits for the day."""
    return [
        _rule(f"{alert}", f"{lines} == 3", "critical", f"{summary} is broken.", link),
        _rule(
            f"{alert}",
            f"{lines} > 0 < 3",
            "warning",
            f"{summary} is to be looked at, or not known.",
            link,
        ),
    ]


def _rule(alert: str, expr: str, severity: str, summary: str, link: str, held: str = "") -> str:
    lines = [
        f"      - alert: {alert}",
        f"        expr: {json.dumps(expr)}",
        *([f"        for: {held}"] if held else []),
        "        labels:",
        f"          severity: {severity}",
        "        annotations:",
        f"          summary: {json.dumps(summary)}",
        f"          runbook_url: {link}",
    ]
    return "\n".join(lines) + "\n"


def _without(known: Sequence[Section]) -> str:
    """The lines that no section has a rule for: those of the rooms, and of runs without a job."""
    runs = "|".join(section.name for section in known if section.lines.startswith("runs: "))
    named = f"checks: .+: .+|sensors: .+|runs: ({runs})( for .*)?"
    return f"{_STANDING}{{subject!~{json.dumps(named)}}}"


def dashboard() -> str:
    """A dashboard that Grafana imports; it asks for the Prometheus to read."""
    too_old = _PAGE_HOURS * 3600
    panels: list[dict[str, Any]] = [
        _stat("Broken", 'ft_overview_lines{subject="bad"}', "red"),
        _stat("Not known", 'ft_overview_lines{subject="unknown"}', "purple"),
        _stat("To be looked at", 'ft_overview_lines{subject="warning"}', "orange"),
        _stat("Age of the page", f"time() - max({_TAKEN})", "red", too_old, "s"),
        _table("What needs somebody", f"sort_desc({_STANDING} > 0)"),
        _graph("Latency of the screens, p95", "ft_screen_p95_ms", "ms"),
        _graph("Size of the database", "ft_database_bytes", "decbytes", "database"),
        _graph("The largest tables", "topk(10, ft_table_bytes + ft_index_bytes)", "decbytes"),
        _graph("The archive by storage class", "ft_archive_bytes", "decbytes"),
        _graph("Connections", "ft_connections", "short"),
        _graph("Oldest snapshot", "ft_oldest_snapshot_seconds", "s", "snapshot"),
        _graph("Sessions that wait for a lock", "ft_blocked_sessions", "short", "sessions"),
        _graph("Log held back by slots", "ft_slot_retained_bytes", "decbytes"),
        _graph("Lag of the replicas", "ft_replica_lag_seconds", "s"),
    ]
    for number, panel in enumerate(panels):
        panel["id"] = number + 1
        panel["gridPos"] = _place(number)
    return (
        json.dumps(
            {
                "title": "FamilyTales operations",
                "uid": "ft-ops",
                "schemaVersion": 39,
                "editable": True,
                "refresh": "5m",
                "time": {"from": "now-30d", "to": "now"},
                "tags": ["ft-ops"],
                "templating": {
                    "list": [{"name": "prometheus", "type": "datasource", "query": "prometheus"}]
                },
                "panels": panels,
            },
            indent=2,
        )
        + "\n"
    )


_STATS: Final = 4
"""Small panels in the first row; the table has the next one, graphs stand in pairs below."""


def _place(number: int) -> dict[str, int]:
    if number < _STATS:
        return {"x": 6 * number, "y": 0, "w": 6, "h": 4}
    if number == _STATS:
        return {"x": 0, "y": 4, "w": 24, "h": 10}
    row, column = divmod(number - _STATS - 1, 2)
    return {"x": 12 * column, "y": 14 + 8 * row, "w": 12, "h": 8}


def _panel(kind: str, title: str, query: str, legend: str, *, instant: bool) -> dict[str, Any]:
    source = {"type": "prometheus", "uid": "${prometheus}"}
    target = {
        "refId": "A",
        "expr": query,
        "legendFormat": legend,
        "instant": instant,
        "datasource": source,
    }
    if instant and kind == "table":
        target["format"] = "table"
    return {"type": kind, "title": title, "datasource": source, "targets": [target]}


def _stat(
    title: str, query: str, colour: str, limit: float = 1, unit: str = "short"
) -> dict[str, Any]:
    colours = [{"color": "green", "value": None}, {"color": colour, "value": limit}]
    defaults = {"unit": unit, "thresholds": {"mode": "absolute", "steps": colours}}
    panel = _panel("stat", title, query, title, instant=True)
    return panel | {"fieldConfig": {"defaults": defaults, "overrides": []}}


def _table(title: str, query: str) -> dict[str, Any]:
    words = {"1": "look", "2": "not known", "3": "broken"}
    mapping = {"type": "value", "options": {key: {"text": word} for key, word in words.items()}}
    shown = {
        "id": "organize",
        "options": {
            "excludeByName": {"Time": True, "__name__": True, "instance": True, "job": True},
            "renameByName": {"subject": "what", "Value": "state"},
        },
    }
    return _panel("table", title, query, "", instant=True) | {
        "fieldConfig": {"defaults": {"mappings": [mapping]}, "overrides": []},
        "transformations": [shown],
    }


def _graph(title: str, query: str, unit: str, legend: str = "{{subject}}") -> dict[str, Any]:
    defaults = {"unit": unit, "min": 0}
    return _panel("timeseries", title, query, legend, instant=False) | {
        "fieldConfig": {"defaults": defaults, "overrides": []}
    }
