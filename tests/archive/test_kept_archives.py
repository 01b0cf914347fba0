"""An archive that was made under an earlier schema, by earlier code, comes back under today's."""

from __future__ import annotations

import pytest

from ft_ops.archive.month.catalog import read_content
from ft_ops.archive.month.content import content_from_json
from ft_ops.pg.connect import Connection, connect
from ft_ops.s3.bucket import Bucket
from ft_ops.schema import load_migrations, run_migrations
from tests.archive.kept_archives import MONTHS, KeptArchive, archived_rows, kept_archives, put_back
from tests.archive.world import World
from tests.fixtures.postgres import Database

KEPT = kept_archives()


@pytest.mark.parametrize("kept", KEPT, ids=lambda kept: kept.folder.name)
def test_every_kept_archive_comes_back_whole(
    empty_database: Database, bucket: Bucket, kept: KeptArchive
) -> None:
    migrations = load_migrations()
    with connect(empty_database.url, application="tests") as connection:
        run_migrations(connection, [m for m in migrations if m.version <= kept.migration])
        put_back(kept, connection, bucket)
        run_migrations(connection, migrations)
        world = World(empty_database, connection, bucket)
        for month in MONTHS:
            assert world.thaw(month).left_out == {}
        found = archived_rows(connection)
    for table, rows in kept.rows.items():
        assert [
            {k: now[k] for k in then} for now, then in zip(found[table], rows, strict=True)
        ] == (rows), table


def test_the_newest_kept_archive_is_of_todays_tables(connection: Connection) -> None:
    """Who changes a table of content keeps one more: see docs/release.md."""
    newest = content_from_json(KEPT[-1].ledger[-1]["content"])
    assert newest.differences(read_content(connection)) == []


def test_an_archive_of_the_first_format_is_among_them() -> None:
    assert KEPT[0].ledger[0].get("content") is None
    assert "departed_links" in KEPT[0].ledger[0]
