"""What the operations ship for Prometheus and Grafana is about what they export, and about all."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import ft_ops
from ft_ops.definitions import defs
from ft_ops.overview.jobs import sections_of
from ft_ops.overview.monitoring import dashboard, rules
from tests.documents import DOCS, headings

SHIPPED = DOCS.parent / "deploy" / "monitoring"
SECTIONS = sections_of(defs)
RULES = rules(SECTIONS, "docs/runbook.md")
GIVEN: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]
]
METRIC = re.compile(r"\bft_[a-z0-9_]+\b")


def test_the_shipped_files_are_what_the_command_prints() -> None:
    assert (SHIPPED / "rules.yaml").read_text() == RULES
    assert (SHIPPED / "dashboard.json").read_text() == dashboard()


def test_every_metric_in_them_is_exported() -> None:
    named = {name for rule in GIVEN for name in METRIC.findall(rule["expr"])}
    shown = {
        name
        for panel in json.loads(dashboard())["panels"]
        for target in panel["targets"]
        for name in METRIC.findall(target["expr"])
    }
    assert len(shown) > 10
    assert (named | shown) - exported() == set()


def exported() -> set[str]:
    """The names of all figures that the rooms keep, as their samples are written in the code."""
    text = "".join(path.read_text() for path in Path(ft_ops.__file__).parent.rglob("*.py"))
    names = set(re.findall(r"\bSample\(\s*\"([a-z_]+)\"", text))
    measured = {f"{w}_{p}_ms" for w in ("screen", "query") for p in ("p50", "p95", "p99")}
    assert 'Sample(f"{what}_{name}_ms"' in text
    return {f"ft_{name}" for name in names | measured} | {
        "ft_standing",
        "ft_sampled_timestamp_seconds",
    }


@pytest.mark.parametrize("severity", ["critical", "warning"])
def test_each_check_job_and_sensor_has_a_rule_that_leads_to_its_section(severity: str) -> None:
    anchors = headings(DOCS / "runbook.md")
    of_severity = [rule for rule in GIVEN if rule["labels"]["severity"] == severity]
    links = {rule["annotations"]["runbook_url"].partition("#")[2] for rule in of_severity}
    assert links >= {section.name for section in SECTIONS}
    assert links <= set(anchors)


@pytest.mark.parametrize(
    ("subject", "alerts"),
    [
        ("backups: last good backup", {"FtOpsLine"}),
        ("checks: checks not evaluated yet", {"FtOpsLine"}),
        ("checks: schema: schema_drift", {"FtOps_schema_drift"}),
        ("runs: ship_wal", {"FtOps_ship_wal"}),
        ("runs: archive_old_content for 2017-03-01", {"FtOps_archive_old_content"}),
        ("runs: purged_content_segments for 2017-03-01", {"FtOpsLine"}),
        ("sensors: heartbeat", {"FtOps_heartbeat"}),
    ],
)
def test_a_line_of_the_overview_has_one_rule_of_each_severity(
    subject: str, alerts: set[str]
) -> None:
    for severity in ("critical", "warning"):
        found = [
            rule["alert"]
            for rule in GIVEN
            if rule["labels"]["severity"] == severity and _matches(rule["expr"], subject)
        ]
        assert found == list(alerts)


def _matches(expression: str, subject: str) -> bool:
    """Whether a rule's selector takes a line; Prometheus anchors its regular expressions."""
    selector = re.search(r'ft_standing\{subject(=~|!~)("(?:[^"\\]|\\.)*")\}', expression)
    if selector is None:
        return False
    found = re.fullmatch(json.loads(selector[2]), subject) is not None
    return found == (selector[1] == "=~")
