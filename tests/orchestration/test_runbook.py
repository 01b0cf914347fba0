"""Whatever may wake somebody has a section that says what to do, and every section is about
something that exists."""

from __future__ import annotations

import re

import dagster as dg
import pytest

from ft_ops.definitions import defs
from ft_ops.orchestration.runbook import with_runbook_links
from ft_ops.settings import Settings, runbook_link
from tests.documents import DOCS, headings

RUNBOOK = DOCS / "runbook.md"
PARTS = ("Means", "Look", "Do", "Don't")
NO_ASSETS = {
    "report_family_storage": "storage",
    "prune_event_logs": "health",
    "vacuum_emergency": "maintenance",
    "drop_rebuild_leftovers": "maintenance",
    "repack_tables": "maintenance",
}
"""The rooms of jobs that are about no asset."""
GRAPH = defs.resolve_asset_graph()


def rooms_of_what_exists() -> dict[str, str]:
    """Every job, check and sensor, with the room of its assets; what is on none is health's."""
    found = {key.name: _group(key.asset_key) for key in GRAPH.asset_check_keys}
    for job in defs.resolve_all_job_defs():
        keys = {*job.asset_layer.selected_asset_keys}
        keys |= {check.asset_key for check in job.asset_layer.asset_graph.asset_check_keys}
        if not job.name.startswith("__"):
            rooms = {_group(key) for key in keys}
            found[job.name] = min(rooms, default=NO_ASSETS.get(job.name, ""))
    for sensor in defs.sensors or ():
        rooms = {found[target.job_name] for target in sensor.targets}
        found[sensor.name] = min(rooms, default="health")
    return found


def sections() -> dict[str, tuple[str, str]]:
    """Section → its room and its text; the introduction is no room's."""
    room, found = "", {}
    for part in re.split(r"^(?=##)", RUNBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE):
        title, _, text = part.partition("\n")
        if title.startswith("## "):
            room = title.removeprefix("## ")
        elif room:
            found[title.removeprefix("### ")] = (room, text)
    return found


def test_every_job_check_and_sensor_has_a_section_below_its_room_and_no_other_has() -> None:
    assert {name: room for name, (room, _) in sections().items()} == rooms_of_what_exists()


@pytest.mark.parametrize("name", sorted(sections()))
def test_a_section_says_what_it_means_how_to_look_what_to_do_and_what_not(name: str) -> None:
    _, text = sections()[name]
    found = re.findall(r"^- \*\*(.+?)\.\*\*", text, flags=re.MULTILINE)
    assert [part for part in found if part in PARTS] == list(PARTS)


def test_every_job_asset_and_check_leads_to_a_section_that_exists() -> None:
    anchors = headings(RUNBOOK)
    described = [(str(spec.key), spec.description) for spec in defs.resolve_all_asset_specs()]
    described += [(str(k), GRAPH.get_check_spec(k).description) for k in GRAPH.asset_check_keys]
    described += [
        (job.name, job.description)
        for job in defs.resolve_all_job_defs()
        if not job.name.startswith("__")
    ]
    for name, description in described:
        link = re.search(r"What to do: `docs/runbook\.md#(\w+)`$", description or "")
        assert link is not None, name
        assert link[1] in anchors, name


def test_an_asset_leads_to_its_own_job_where_the_runbook_is_published() -> None:
    settings = Settings(runbook_url="https://docs.example.org/ops/")
    assert (
        runbook_link(settings, "heartbeat") == "https://docs.example.org/ops/runbook.md#heartbeat"
    )
    described = {
        spec.key.to_user_string(): spec.description
        for spec in with_runbook_links(_two_assets(), settings).resolve_all_asset_specs()
    }
    base = "https://docs.example.org/ops/runbook.md"
    assert described == {
        "months": f"Moved.\n\nWhat to do: [move]({base}#move)",
        "thawed": f"Back again.\n\nWhat to do: [a_round_trip]({base}#a_round_trip)",
    }


def _two_assets() -> dg.Definitions:
    @dg.asset
    def months() -> None:
        """Moved."""

    @dg.asset
    def thawed() -> None:
        """Back again."""

    jobs = [
        dg.define_asset_job("move", selection=[months]),
        dg.define_asset_job("a_round_trip", selection=[months, thawed]),
    ]
    return dg.Definitions(assets=[months, thawed], jobs=jobs)


def _group(key: dg.AssetKey) -> str:
    return str(GRAPH.get(key).group_name)
