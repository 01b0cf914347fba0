"""A copy of the database at a point: which one is taken, and that it has the rows of that point."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from ft_ops.backups.inventory.ledger import Entry
from ft_ops.backups.providers import Workplace
from ft_ops.backups.restored import plan_for, restored_copy
from ft_ops.errors import OpsError, Refused
from ft_ops.pg.connect import connect
from ft_ops.pg.locks import only_one
from ft_ops.rehearsal import RehearsalRules, rehearsal_lines, rehearse_upgrade
from ft_ops.settings import load_settings
from ft_ops.staging import into_file, mask_copy
from tests.backups.world import Standing

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


def entry(name: str, hours: int, **values: object) -> Entry:
    """A whole full, or an increment, of some hours after noon."""
    made = Entry(
        name=name,
        kind="full" if name.startswith("full") else "increment",
        provider="barman",
        state="complete",
        provider_id=name,
        point_at=NOON + timedelta(hours=hours),
        objects=None,
        started_at=NOON + timedelta(hours=hours),
        completed_at=NOON + timedelta(hours=hours),
        error=None,
        verified_at=None,
        restored_to=None,
        was_verified=False,
    )
    return replace(made, **values)  # type: ignore[arg-type]


ENTRIES = [
    entry("full-1", 0),
    entry("increment-1", 6),
    entry("full-2", 24, verdict="refuted"),
    entry("increment-2", 30),
    entry("increment-3", 36, state="missing"),
]


@pytest.mark.parametrize(
    ("at", "backup", "target"),
    [
        ("", "full-1", "increment-2"),
        ("increment-1", "full-1", "increment-1"),
        ("2026-11-24T17:59Z", "full-1", "full-1"),
        ("2026-11-24T18:00Z", "full-1", "increment-1"),
        ("2026-11-24 18:00", "full-1", "increment-1"),
        # Not from the full that a drill refuted.
        ("2026-11-25T13:00:00+00:00", "full-1", "increment-1"),
    ],
)
def test_the_newest_point_that_fits_is_taken(at: str, backup: str, target: str) -> None:
    plan = plan_for(ENTRIES, at, by_log=True)
    assert (plan.backup.name, plan.target.name) == (backup, target)


def test_where_no_log_leads_from_a_full_the_point_is_restored_alone() -> None:
    plan = plan_for(ENTRIES, "2026-11-24T18:00Z", by_log=False)
    assert (plan.backup.name, plan.target.name) == ("increment-1", "increment-1")


@pytest.mark.parametrize(
    ("at", "said"),
    [
        ("2026-11-24T11:59Z", "as old as that"),
        ("full-2", "a drill refuted it"),
        ("increment-3", "it is missing"),
        ("on Tuesday", "neither a backup's name nor a moment"),
    ],
)
def test_a_point_that_nothing_fits_is_refused(at: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        plan_for(ENTRIES, at, by_log=True)


def test_the_copy_has_the_rows_of_its_point(standing: Standing) -> None:
    standing.believe()
    world = standing.world
    work = Workplace(world.connection, world.provider, world.bucket, load_settings())
    with restored_copy(work, standing.full.point.name, lambda line: None) as copy:
        assert (copy.point, copy.at) == (standing.full.point.name, standing.full.point.at)
        (rows,) = copy.connection.execute("SELECT count(*) FROM content_segments").fetchone() or (
            0,
        )
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            copy.connection.execute("DELETE FROM users")
        assert rows == sum(
            found.rows
            for table, found in standing.full.point.tables.items()
            if found is not None and table.startswith("public.content_segments_2")
        )
    assert copy.connection.closed


def test_no_copy_is_restored_beside_a_drill(standing: Standing) -> None:
    standing.believe()
    world = standing.world
    work = Workplace(world.connection, world.provider, world.bucket, load_settings())
    with (
        connect(world.url, application="tests") as other,
        only_one(other, "restore drill"),
        pytest.raises(OpsError, match="another run is at work"),
        restored_copy(work, "", lambda line: None),
    ):
        pass


@pytest.mark.chaos
def test_a_backup_is_upgraded_to_the_next_version_and_has_its_certificate(
    standing: Standing,
) -> None:
    standing.believe()
    world = standing.world
    work = Workplace(world.connection, world.provider, world.bucket, load_settings())
    name = standing.full.point.name
    rules = RehearsalRules(None, "ft_app", 600)
    found, address = rehearse_upgrade(work, name, rules, lambda line: None)
    assert found.verdict == "works", list(rehearsal_lines(found))
    assert f"rehearsals/{name}/" in address
    assert found.seconds is not None
    assert found.seconds.down < 120


@pytest.mark.chaos
def test_a_backup_is_masked(standing: Standing, tmp_path: Path) -> None:
    standing.believe()
    world = standing.world
    work = Workplace(world.connection, world.provider, world.bucket, load_settings())
    target = tmp_path / "masked.dump"
    found = mask_copy(work, standing.full.point.name, into_file(target), lambda line: None)
    assert found.looked_for > 100
    assert target.stat().st_size == found.bytes
