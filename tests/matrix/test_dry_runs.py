"""A dry run shows what would be done, and is taken for nothing that was done."""

from __future__ import annotations

import dagster as dg
import psycopg
import pytest

from ft_ops.definitions import defs
from ft_ops.orchestration.check_states import check_states
from tests.fixtures.postgres import Database
from tests.matrix.conftest import FIRST
from tests.matrix.world import QUIET, failures_of

GRAPH = defs.resolve_asset_graph()


def runs_dry(asset: dg.AssetsDefinition) -> bool:
    """Whether its launch config has the switch."""
    if asset.key.to_user_string() == "restored_family":
        return False  # It needs a subject and a backup: tests/restore has its dry run.
    fields = getattr(asset.op.config_schema.as_field().config_type, "fields", None) or {}
    return "dry_run" in fields


ASSETS = [
    asset
    for asset in defs.assets or ()
    if isinstance(asset, dg.AssetsDefinition) and runs_dry(asset)
]

# One worker makes the sandbox once, instead of each of them.
pytestmark = pytest.mark.xdist_group("dry runs")

SLOW = {"index_bloat", "rebuilt_indexes"}
"""They measure each index first."""


def test_the_switch_is_where_something_is_changed_or_deleted() -> None:
    assert {asset.key.to_user_string() for asset in ASSETS} >= {
        "archived_content_segments",
        "content_archive",
        "purged_content_segments",
        "thawed_content_segments",
        "refrozen_content_segments",
        "erased_archive_content",
        "backup_retention",
        "vacuumed_tables",
        "frozen_partitions",
        "index_bloat",
        "rebuilt_indexes",
    }


@pytest.mark.parametrize(
    "asset",
    [
        pytest.param(
            asset,
            marks=[pytest.mark.chaos] if asset.key.to_user_string() in SLOW else [],
            id=asset.key.to_user_string(),
        )
        for asset in ASSETS
    ],
)
def test_a_dry_run_succeeds_and_materializes_nothing(
    asset: dg.AssetsDefinition, database: Database, instance: dg.DagsterInstance
) -> None:
    """Also for a month that has not moved yet."""
    before = _rows(database)
    result = defs.resolve_implicit_global_asset_job_def().execute_in_process(
        instance=instance,
        asset_selection=[asset.key],
        partition_key=FIRST.key if asset.partitions_def is not None else None,
        run_config={"ops": {asset.op.name: {"config": {"dry_run": True}}}, **QUIET},
        raise_on_error=False,
    )
    assert result.success, list(failures_of(result))
    assert result.get_asset_materialization_events() == []
    seen = [
        e.asset_observation_data.asset_observation for e in result.get_asset_observation_events()
    ]
    [shown] = [observation for observation in seen if observation.asset_key == asset.key]
    assert shown.metadata["dry run"].value is True
    states = check_states(instance, [k for k in GRAPH.asset_check_keys if k.asset_key == asset.key])
    assert [state.crashed for state in states if state.crashed] == []
    assert _rows(database) == before


def _rows(database: Database) -> dict[str, int]:
    """How many rows each table of ours has, and the archive's ledger: what a run leaves behind."""
    with psycopg.connect(database.admin_url) as connection:
        names = connection.execute(
            "SELECT c.oid::regclass::text FROM pg_class AS c"
            " WHERE c.relnamespace IN ('public'::regnamespace, 'ops'::regnamespace)"
            " AND c.relkind IN ('r', 'p') AND c.relname <> 'audit_log' ORDER BY 1"
        ).fetchall()
        counts = {}
        for (name,) in names:
            row = connection.execute(f"SELECT count(*) FROM {name}".encode()).fetchone()
            assert row is not None
            counts[name] = int(row[0])
    return counts
