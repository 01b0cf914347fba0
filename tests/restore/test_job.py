"""The job and the command: a dry run unless one says otherwise, with a plan to be read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from types import SimpleNamespace

import dagster as dg
import pytest
from click.testing import CliRunner

from ft_ops import backups
from ft_ops.backups import RestoredCopyAt
from ft_ops.cli import commands
from ft_ops.definitions import defs
from ft_ops.errors import Refused
from ft_ops.pg.connect import Connection
from ft_ops.restore import assets, source
from tests.restore.world import World

AT = datetime(2026, 11, 24, 18, tzinfo=UTC)


@pytest.fixture
def copied(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connection]:
    """A copy in place of what a backup would be restored to."""
    with world.copied() as copy:

        @contextmanager
        def restored_copy(work: object, at: str, log: object) -> Iterator[RestoredCopyAt]:
            assert at == "full-1"
            yield RestoredCopyAt(copy, "full-1", AT, "a folder")

        def open_workplace(settings: object, connection: Connection) -> SimpleNamespace:
            return SimpleNamespace(connection=connection)

        monkeypatch.setenv("FT_DATABASE_URL", world.database.url)
        monkeypatch.setattr(source, "restored_copy", restored_copy)
        monkeypatch.setattr(assets, "open_workplace", open_workplace)
        monkeypatch.setattr(backups, "open_workplace", open_workplace)
        yield copy


def run(**config: object) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return defs.resolve_job_def("restore_family").execute_in_process(
            instance=instance,
            run_config={"ops": {"restored_family": {"config": {"at": "full-1", **config}}}},
            raise_on_error=False,
        )


def observed(result: dg.ExecuteInProcessResult) -> dict[str, dg.MetadataValue]:
    (event,) = result.get_asset_observation_events()
    return dict(event.asset_observation_data.asset_observation.metadata)


def cells(value: dg.MetadataValue) -> list[dict[str, object]]:
    assert isinstance(value, dg.TableMetadataValue)
    return [dict(record.data) for record in value.records]


def test_the_job_shows_its_plan_and_brings_back_what_was_agreed(
    world: World, copied: Connection
) -> None:
    before = world.family(0)
    world.execute("DELETE FROM memory_books WHERE id = %s", world.books[0])
    damaged = world.family(0)
    book = {"book_id": str(world.books[0])}

    looked = run(**book)
    assert looked.success
    assert looked.get_asset_materialization_events() == []
    plan = observed(looked)
    assert plan["to insert"].value == 0
    counts = {row["table"]: row for row in cells(plan["plan"])}
    assert counts["content_segments"]["erased"] == 8
    assert {row["verdict"] for row in cells(plan["deletions"])} == {"stays erased"}
    assert world.family(0) == damaged

    agreed = {**book, "deleted_by_mistake": [str(world.books[0])], "reason": "the owner says so"}
    shown = observed(run(**agreed))
    assert shown["to insert"].value == 29
    assert world.family(0) == damaged

    for named, said in ({}, "names no plan"), ({"plan": "0" * 16}, "today's is"):
        (event,) = run(**agreed, **named, dry_run=False).get_step_failure_events()
        assert event.step_failure_data.error is not None
        assert said in event.step_failure_data.error.message
    assert world.family(0) == damaged

    digest = shown["plan, to be named when it is applied"].value
    done = run(**agreed, plan=digest, dry_run=False)
    (event,) = done.get_asset_materialization_events()
    metadata = event.step_materialization_data.materialization.metadata
    assert metadata["inserted"].value == 29
    assert metadata["media"].value == 8
    assert world.family(0) == before


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "exactly one family, book, thread or user"),
        ({"family_id": "somebody"}, "is no id"),
        ({"family_id": str(AT), "book_id": ""}, "is no id"),
    ],
)
def test_a_launch_that_names_nothing_usable_is_refused_in_words(
    world: World, copied: Connection, config: dict[str, object], said: str
) -> None:
    failed = run(**config)
    assert not failed.success
    (event,) = failed.get_step_failure_events()
    assert event.step_failure_data.error is not None
    assert said in event.step_failure_data.error.message


def test_the_command_compares_and_applies_only_when_told(world: World, copied: Connection) -> None:
    world.execute("DELETE FROM content_segments WHERE id = %s", world.segments[0])
    damaged = world.family(0)
    arguments = ["restore", "--family", str(world.families[0]), "--at", "full-1"]
    shown = CliRunner().invoke(commands, arguments)
    assert shown.exit_code == 0, shown.output
    assert "content_segments: 1 missing, 15 same" in shown.output
    told = re.search(r"nothing was changed: --apply --plan (\w{16}) does just this", shown.output)
    assert told is not None
    assert "media, not restored here: https://media.example.org/" in shown.output
    assert world.family(0) == damaged
    unread = CliRunner().invoke(commands, [*arguments, "--apply", "--overwrite-changed"])
    assert isinstance(unread.exception, Refused)
    assert "names no plan" in str(unread.exception)
    done = CliRunner().invoke(commands, [*arguments, "--apply", "--plan", told[1]])
    assert "4 rows were inserted, 0 overwritten" in done.output
    assert str(world.segments[0]) in world.family(0)["content_segments"]
